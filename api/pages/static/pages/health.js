// The state of the service: is it ready, what waits, what runs, how much room is left.
import { get, ROOT } from "../core/api.js";
import { fill, h, keyed, setAttribute, setText, show } from "../core/dom.js";
import { main } from "../core/frame.js";
import { bytes, count, duration } from "../core/format.js";
import { repeat } from "../core/live.js";
import { badge, stageLabel, STATES } from "../core/states.js";

const REFRESH_MS = 3000;

const ready = h("p", { class: "note", role: "status" }, "Asking …");
const tiles = new Map(STATES.map((state) => [state, h("span", { class: "tile-value" }, "–")]));
const body = h("tbody");
const none = h("p", { class: "muted" }, "No runner is there: queued jobs wait. Start one with ", h("code", {}, "safs worker"), ".");
const ray = h("dl");
const facts = h("dl");
const versions = h("dl");
const details = h(
  "div",
  { class: "panels", hidden: true },
  h("section", { class: "card wide", "aria-labelledby": "runners" }, h("header", {}, h("h2", { id: "runners" }, "Runners")), none, h("div", { class: "scroll flat", tabindex: "0", role: "region", "aria-label": "Table of runners" }, h("table", { class: "grid" }, h("thead", {}, h("tr", {}, ...["Runner", "State", "Job", "Stage", "Cores in use", "Heartbeat", "Up", "Version"].map((name) => h("th", { scope: "col" }, name)))), body))),
  h("section", { class: "card understood", "aria-labelledby": "room" }, h("header", {}, h("h2", { id: "room" }, "Queue and disk")), facts),
  h("section", { class: "card understood", "aria-labelledby": "ray" }, h("header", {}, h("h2", { id: "ray" }, "Resources of Ray")), ray),
  h("section", { class: "card understood", "aria-labelledby": "versions" }, h("header", {}, h("h2", { id: "versions" }, "Versions")), versions),
);
const counts = h("div", { class: "tiles six", hidden: true }, ...[...tiles].map(([state, value]) => h("div", { class: "tile" }, badge(state).node, value)));

fill(main, h("div", { class: "page-head" }, h("h1", {}, "Health")), ready, counts, h("p", {}), details);
repeat(load, () => REFRESH_MS);

async function load() {
  await showReadiness();
  const me = await get("/v1/me");
  if (!me.scopes.includes("admin")) return;
  const [status, runners] = await Promise.all([get("/v1/status"), get("/v1/runners")]);
  show(counts, true);
  show(details, true);
  for (const [state, node] of tiles) setText(node, count(status.jobs[state] ?? 0));
  const known = new Set(runners.map((runner) => runner.name));
  const rows = [...runners, ...status.held.filter((job) => !known.has(job.runner)).map(withoutHeartbeat)];
  show(none, rows.length === 0);
  show(body.parentElement, rows.length > 0);
  keyed(body, rows, (one) => one.name, runnerRow);
  list(ray, rayFacts(runners));
  list(facts, {
    "Next job waits": status.oldest_queued_s ? duration(status.oldest_queued_s) : "no job is queued",
    "Jobs of lost runners": status.late_leases ? `${status.late_leases}; their jobs are taken over when a runner is free` : "none",
    "Stored files": `${count(status.artifacts)}, ${bytes(status.artifacts_bytes)}`,
    "Free for files": bytes(status.artifacts_free_bytes),
    "Free in the home": bytes(status.home_free_bytes),
    "Event streams": count(status.event_streams),
  });
  list(versions, status.versions);
}

async function showReadiness() {
  try {
    await get("/readyz");
    setText(ready, "The service is ready.");
    ready.className = "note";
  } catch (error) {
    setText(ready, error.message);
    ready.className = "note error";
  }
}

/** A job's holder that has no heartbeat of its own: an older version, or a runner that was lost for long. */
function withoutHeartbeat({ runner, job_id: job, stage, lease_left_s: left }) {
  return { name: runner, state: left > 0 ? "busy" : "lost", job_id: job, stage, started_at: null, seen_s: null, version: "", resources: {} };
}

function runnerRow(runner) {
  const state = badge(runner.state);
  const job = h("a");
  const [jobCell, stage, cores, seen, up] = Array.from({ length: 5 }, () => h("td"));
  jobCell.append(job);
  const node = h("tr", {}, h("th", { scope: "row" }, runner.name), h("td", {}, state.node), jobCell, stage, cores, seen, up, h("td", {}, runner.version));
  return {
    node,
    update(now) {
      state.update(now.state);
      setText(job, now.job_id);
      setAttribute(job, "href", now.job_id && `${ROOT}/jobs/${now.job_id}`);
      setText(stage, stageLabel(now.stage));
      setText(cores, inUse(now.resources.cores));
      setText(seen, now.seen_s === null ? "" : `${duration(Math.max(0, now.seen_s))} ago`);
      setText(up, now.started_at && duration((Date.now() - Date.parse(now.started_at)) / 1000));
    },
  };
}

function inUse(resource, form = count) {
  return resource ? `${form(resource.total - resource.free)} of ${form(resource.total)}` : "";
}

/** The resources of all Rays; runners of one cluster share theirs, so it counts once. */
function rayFacts(runners) {
  const here = runners.filter((runner) => runner.state !== "lost");
  const rays = new Map(here.map((runner) => [runner.cluster ?? runner.name, runner.resources]));
  const sum = (name) => [...rays.values()].map((one) => one[name]).filter(Boolean).reduce((all, one) => ({ total: (all?.total ?? 0) + one.total, free: (all?.free ?? 0) + one.free }), null);
  return {
    Clusters: count(rays.size),
    "Cores in use": inUse(sum("cores")) || "not known",
    "GPUs in use": inUse(sum("gpus")) || "none",
    "Memory reserved": inUse(sum("memory_bytes"), bytes) || "not known",
    "Object store in use": inUse(sum("object_store_bytes"), bytes) || "not known",
  };
}

function list(node, values) {
  fill(node, ...Object.entries(values).flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]));
}
