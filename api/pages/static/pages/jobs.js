// The list of jobs: filtered, paged and refreshed in place; two to six of them are chosen to compare.
import { get, ROOT, withParameters } from "../core/api.js";
import { fill, h, keyed, setAttribute, setText, show } from "../core/dom.js";
import { main } from "../core/frame.js";
import { repeat } from "../core/live.js";
import { FINAL, STATES } from "../core/states.js";
import { jobRow, COLUMNS } from "../jobs/row.js";
import { filterForm } from "../jobs/filters.js";

const PAGE_SIZE = 50;
const MOST_COMPARED = 6;
const BUSY_MS = 2000;
const IDLE_MS = 6000;

const chosen = new Set();
const heads = [];
let tokens = [null];
let jobs = [];
let next = null;

const filters = filterForm(STATES, () => {
  tokens = [null];
  refresh();
});
const body = h("tbody");
const table = h(
  "table",
  { class: "grid jobs", "aria-label": "Jobs" },
  h("thead", {}, h("tr", {}, ...COLUMNS.map(head))),
  body,
);
const compare = h("a", { class: "button primary", role: "link" }, "Compare");
const summary = h("p", { class: "muted", role: "status" });
const back = h("button", { type: "button", onclick: () => turn(-1) }, "← Back");
const ahead = h("button", { type: "button", onclick: () => turn(1) }, "Next →");
const empty = h("div", { class: "empty", hidden: true });

fill(
  main,
  h("div", { class: "page-head" }, h("h1", {}, "Jobs"), h("div", { class: "actions" }, compare, h("a", { class: "button", href: `${ROOT}/new` }, "New job"))),
  filters.node,
  h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of jobs" }, table),
  empty,
  h("div", { class: "pager" }, back, summary, ahead),
);

const refresh = repeat(load, () => (jobs.some((job) => !FINAL.has(job.state)) ? BUSY_MS : IDLE_MS));
showCompare();

async function load() {
  const query = { ...filters.values(), limit: PAGE_SIZE, page_token: tokens.at(-1) };
  const page = await get(withParameters("/v1/jobs", query));
  jobs = page.items;
  next = page.next_page_token;
  draw();
}

function draw() {
  showOrder();
  keyed(body, jobs, (job) => job.id, (job) => jobRow(job, chosen, showCompare));
  const filtered = Object.values(filters.values()).some((value) => value);
  show(table, jobs.length > 0);
  show(empty, jobs.length === 0);
  if (!jobs.length && empty.dataset.filtered !== String(filtered)) {
    empty.dataset.filtered = String(filtered);
    fill(empty, ...(filtered ? [h("p", {}, "No job fits these filters.")] : firstSteps()));
  }
  const first = (tokens.length - 1) * PAGE_SIZE;
  setText(summary, jobs.length ? `${first + 1} to ${first + jobs.length}` : "");
  setAttribute(back, "disabled", tokens.length === 1);
  setAttribute(ahead, "disabled", next === null);
}

/** The head of a column; a click sorts by it. */
function head([name, kind, orders]) {
  if (!orders) return h("th", { scope: "col", class: kind }, name);
  const mark = h("span", { "aria-hidden": "true" });
  const cell = h("th", { scope: "col", class: kind }, h("button", { type: "button", class: "sort", title: `Sort all jobs by ${name.toLowerCase()}`, onclick: () => filters.sortBy(orders) }, name, mark));
  heads.push({ cell, mark, orders });
  return cell;
}

function showOrder() {
  const { order } = filters.values();
  for (const { cell, mark, orders } of heads) {
    const at = orders.indexOf(order);
    const falls = order === "" || order.startsWith("-");
    setAttribute(cell, "aria-sort", at < 0 ? null : falls ? "descending" : "ascending");
    setText(mark, at < 0 ? "" : falls ? " ↓" : " ↑");
  }
}

function firstSteps() {
  const command = "safs submit --model lenet5 --dataset digits --sparsity 0.99 --preset quick";
  return [
    h("h2", {}, "No jobs yet"),
    h("p", {}, "A job prunes a network to a sparsity and searches the activation functions that suit what is left."),
    h("p", {}, h("a", { class: "button primary", href: `${ROOT}/new` }, "New job"), " or, in a terminal:"),
    h("pre", {}, command),
  ];
}

function turn(direction) {
  if (direction > 0 && next !== null) tokens.push(next);
  else if (direction < 0 && tokens.length > 1) tokens.pop();
  refresh();
}

function showCompare() {
  const ready = chosen.size >= 2 && chosen.size <= MOST_COMPARED;
  setText(compare, chosen.size ? `Compare ${chosen.size}` : "Compare");
  setAttribute(compare, "href", ready ? `${ROOT}/compare?jobs=${[...chosen].join(",")}` : null);
  setAttribute(compare, "aria-disabled", String(!ready));
  setAttribute(compare, "title", ready ? null : `Select two to ${MOST_COMPARED} jobs to compare them.`);
}
