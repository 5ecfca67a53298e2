// What changes while one looks: a job's stream of events, and lists that are asked for again.
import { ROOT, get, setReachable } from "./api.js";

/** Milliseconds between two redraws: at most four a second. */
export const REDRAW_MS = 250;
const RETRY_MS = 2000;
const KINDS = ["stage_started", "trial_started", "epoch_done", "trial_done", "stage_done", "note", "worker_lost"];

/** A function that calls `draw` soon, and never more often than every REDRAW_MS. */
export function throttled(draw) {
  let last = -Infinity;
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    setTimeout(
      () => {
        waiting = false;
        last = performance.now();
        draw();
      },
      Math.max(0, last + REDRAW_MS - performance.now()),
    );
  };
}

/**
 * Follow the events of a job after number `after`, across connections that break.
 *
 * @param handlers onEvents(events) with at least one event, at most four times a second; onEnd() after the last one
 * @returns a function that stops
 */
export function follow(jobId, after, handlers) {
  let source = null;
  let stopped = false;
  let last = after;
  let pending = [];
  const flush = throttled(() => {
    const events = pending;
    pending = [];
    if (events.length && !stopped) handlers.onEvents(events);
  });
  const receive = (message) => {
    const event = JSON.parse(message.data);
    if (event.number <= last) return;
    last = event.number;
    pending.push(event);
    flush();
  };
  const open = () => {
    if (stopped) return;
    source = new EventSource(`${ROOT}/v1/jobs/${jobId}/events?after=${last}`);
    source.onopen = () => setReachable(true);
    for (const kind of KINDS) source.addEventListener(kind, receive);
    source.addEventListener("end", () => {
      source.close();
      setTimeout(() => stopped || handlers.onEnd(), REDRAW_MS);
    });
    source.onerror = async () => {
      // A browser tries again by itself after a lost connection, but not after a refusal.
      source.close();
      if (stopped) return;
      await get(`/v1/jobs/${jobId}`).catch(() => null);
      setTimeout(open, RETRY_MS);
    };
  };
  open();
  return () => {
    stopped = true;
    source?.close();
  };
}

/**
 * Call `load` now, and again `interval()` milliseconds after each call ended, while the page is visible.
 *
 * @returns a function that calls it at once
 */
export function repeat(load, interval) {
  let timer = null;
  let running = false;
  let wanted = false;
  const step = async () => {
    if (running) {
      wanted = true;
      return;
    }
    clearTimeout(timer);
    running = true;
    do {
      wanted = false;
      await Promise.resolve(load()).catch((error) => console.info(error.message));
    } while (wanted);
    running = false;
    timer = setTimeout(tick, interval());
  };
  const tick = () => (document.hidden ? null : step());
  document.addEventListener("visibilitychange", tick);
  step();
  return step;
}
