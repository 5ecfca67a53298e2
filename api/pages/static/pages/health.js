// The state of the service: is it ready, what waits, what runs, how much room is left.
import { get, ROOT } from "../core/api.js";
import { fill, h, keyed, setText, show } from "../core/dom.js";
import { main } from "../core/frame.js";
import { bytes, count, duration } from "../core/format.js";
import { repeat } from "../core/live.js";
import { badge, stageLabel, STATES } from "../core/states.js";

const REFRESH_MS = 3000;

const ready = h("p", { class: "note", role: "status" }, "Asking …");
const tiles = new Map(STATES.map((state) => [state, h("span", { class: "tile-value" }, "–")]));
const body = h("tbody");
const none = h("p", { class: "muted" }, "No runner holds a job.");
const facts = h("dl");
const versions = h("dl");
const details = h(
  "div",
  { class: "panels", hidden: true },
  h("section", { class: "card wide", "aria-labelledby": "held" }, h("header", {}, h("h2", { id: "held" }, "Runners at work")), none, h("div", { class: "scroll flat", tabindex: "0", role: "region", "aria-label": "Runners at work" }, h("table", { class: "grid" }, h("thead", {}, h("tr", {}, ...["Runner", "Job", "State", "Stage", "Lease"].map((name) => h("th", { scope: "col" }, name)))), body))),
  h("section", { class: "card understood", "aria-labelledby": "room" }, h("header", {}, h("h2", { id: "room" }, "Queue and disk")), facts),
  h("section", { class: "card understood", "aria-labelledby": "versions" }, h("header", {}, h("h2", { id: "versions" }, "Versions")), versions),
);
const counts = h("div", { class: "tiles six", hidden: true }, ...[...tiles].map(([state, value]) => h("div", { class: "tile" }, badge(state).node, value)));

fill(main, h("div", { class: "page-head" }, h("h1", {}, "Health")), ready, counts, h("p", {}), details);
repeat(load, () => REFRESH_MS);

async function load() {
  await showReadiness();
  const me = await get("/v1/me");
  if (!me.scopes.includes("admin")) return;
  const status = await get("/v1/status");
  show(counts, true);
  show(details, true);
  for (const [state, node] of tiles) setText(node, count(status.jobs[state] ?? 0));
  show(none, status.held.length === 0);
  show(body.parentElement, status.held.length > 0);
  keyed(body, status.held, (one) => one.job_id, heldRow);
  list(facts, {
    "Next job waits": status.oldest_queued_s ? duration(status.oldest_queued_s) : "no job is queued",
    "Lost runners": status.late_leases ? `${status.late_leases}; their jobs are taken over when a runner is free` : "none",
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

function heldRow(job) {
  const state = badge(job.state);
  const stage = h("td");
  const lease = h("td");
  const node = h("tr", {}, h("th", { scope: "row" }, job.runner), h("td", {}, h("a", { href: `${ROOT}/jobs/${job.job_id}` }, job.job_id)), h("td", {}, state.node), stage, lease);
  return {
    node,
    update(now) {
      state.update(now.state);
      setText(stage, stageLabel(now.stage));
      setText(lease, now.lease_left_s > 0 ? `${duration(now.lease_left_s)} left` : "lost");
    },
  };
}

function list(node, values) {
  fill(node, ...Object.entries(values).flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]));
}
