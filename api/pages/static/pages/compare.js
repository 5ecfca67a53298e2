// Two to six jobs side by side: their specs, their results, their best value over the epochs spent, and the front.
import { chart, plain } from "../chart/plotly.js";
import { get, ROOT } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { main } from "../core/frame.js";
import { count, duration, goal, network, percent, points, sparsity } from "../core/format.js";
import { badge } from "../core/states.js";
import { isRanked, Trials } from "../job/trials.js";
import { toPairs } from "../form/spec.js";

const MOST = 6;
const HEIGHT = 360;
const ids = (new URLSearchParams(location.search).get("jobs") ?? "").split(",").filter(Boolean).slice(0, MOST);

if (ids.length < 2) explain();
else load();

function explain() {
  fill(main, h("h1", {}, "Compare"), h("p", {}, "Select two to six jobs in ", h("a", { href: `${ROOT}/` }, "the list of jobs"), ", then Compare."));
}

async function load() {
  try {
    const jobs = await Promise.all(ids.map((id) => get(`/v1/jobs/${encodeURIComponent(id)}`)));
    draw(jobs);
  } catch (error) {
    fill(main, h("h1", {}, "Compare"), h("p", { class: "note error", role: "alert" }, error.message));
  }
}

function draw(jobs) {
  const names = jobs.map(nameOf);
  let curves = [];
  const progress = chart({ label: "Best validation accuracy over the epochs spent in searches", height: HEIGHT, figure: (ink) => progressFigure(names, curves, ink) });
  const front = chart({ label: "Accuracy against sparsity", height: HEIGHT, figure: (ink) => frontFigure(jobs, names, ink) });
  fill(
    main,
    h("div", { class: "page-head" }, h("h1", {}, `Compare ${jobs.length} jobs`)),
    h(
      "div",
      { class: "panels" },
      table("Results", jobs, RESULTS.map(([label, read]) => [label, jobs.map(read)]), false),
      h("section", { class: "card", "aria-labelledby": "progress" }, h("header", {}, h("h2", { id: "progress" }, "Best so far"), h("span", { class: "hint" }, "validation accuracy over epochs spent in searches")), progress.node),
      h("section", { class: "card", "aria-labelledby": "front" }, h("header", {}, h("h2", { id: "front" }, "Sparsity and accuracy"), h("span", { class: "hint" }, "results, and the front that no job is above")), front.node),
      specTable(jobs),
    ),
  );
  Promise.all(jobs.map(curveOf)).then((found) => {
    curves = found;
    progress.redraw();
  });
}

const RESULTS = [
  ["State", (job) => badge(job.state).node],
  ["Result, test", (job) => percent(job.result?.test_accuracy, 2)],
  ["Result, validation", (job) => percent(job.result?.validation_accuracy, 2)],
  ["Gain over default", (job) => points(job.result?.gain?.test ?? job.result?.gain?.validation)],
  ["Sparsity", (job) => sparsity(job.result?.sparsity)],
  ["Live weights", (job) => count(job.result?.live_weights)],
  ["Operators", (job) => Object.values(job.result?.winner?.assignment ?? {}).join(" ")],
  ["Time", (job) => (job.finished_at && job.started_at ? duration((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000) : "")],
];

function table(title, jobs, rows, marks) {
  const id = title.toLowerCase().replaceAll(" ", "-");
  return h(
    "section",
    { class: "card wide", "aria-labelledby": id },
    h("header", {}, h("h2", { id }, title)),
    h(
      "div",
      { class: "scroll flat", tabindex: "0", role: "region", "aria-label": `Table of ${title.toLowerCase()}` },
      h(
        "table",
        { class: "grid compare" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, ""), ...jobs.map((job) => h("th", { scope: "col" }, h("a", { href: `${ROOT}/jobs/${job.id}` }, nameOf(job)))))),
        h("tbody", {}, ...rows.map(([label, values]) => h("tr", { class: marks && differ(values) ? "differs" : null }, h("th", { scope: "row" }, label), ...values.map((value) => h("td", {}, value || "–"))))),
      ),
    ),
  );
}

/** The specs line by line; lines that differ come first and are marked. */
function specTable(jobs) {
  const specs = jobs.map((job) => new Map(toPairs(job.spec).map(([path, value]) => [path, typeof value === "string" ? value : JSON.stringify(value)])));
  const paths = [...new Set(specs.flatMap((spec) => [...spec.keys()]))].filter((path) => path !== "name");
  const rows = paths.map((path) => [path, specs.map((spec) => spec.get(path) ?? "")]);
  return table("Specs", jobs, [...rows.filter(([, values]) => differ(values)), ...rows.filter(([, values]) => !differ(values))], true);
}

function differ(values) {
  return values.some((value) => value !== values[0]);
}

/** The best accuracy after each epoch that the searches spent. */
async function curveOf(job) {
  const trials = new Trials();
  await trials.load(job.id);
  const ranked = trials.rows.filter((trial) => trial.isSearch && isRanked(trial)).sort((one, other) => one.finished - other.finished);
  let spent = 0;
  let best = 0;
  return ranked.map((trial) => {
    const before = trial.continues === null ? 0 : (trials.get(`${trial.stage}-${trial.continues}`)?.epochs ?? 0);
    spent += trial.epochs - before;
    best = Math.max(best, trial.accuracy);
    return [spent, best];
  });
}

function progressFigure(names, curves, ink) {
  const data = curves.map((curve, at) => ({ x: curve.map(([x]) => x), y: curve.map(([, y]) => y), name: plain(names[at]), mode: "lines", line: { shape: "hv", width: 2.2, color: ink.series[at] }, hovertemplate: `%{x} epochs: %{y:.1%}<extra>${plain(names[at])}</extra>` }));
  return { data, layout: { xaxis: { title: { text: "epochs spent" }, rangemode: "tozero" }, yaxis: { tickformat: ".0%" }, showlegend: true } };
}

function frontFigure(jobs, names, ink) {
  const ended = jobs.map((job, at) => ({ job, at })).filter(({ job }) => job.result);
  const data = ended.map(({ job, at }) => ({ x: [1 - job.result.sparsity], y: [job.result.test_accuracy ?? job.result.validation_accuracy], name: plain(names[at]), mode: "markers", marker: { size: 12, color: ink.series[at] }, hovertemplate: `%{x:.2%} of the weights: %{y:.1%}<extra>${plain(names[at])}</extra>` }));
  const sorted = ended.map(({ job }) => [1 - job.result.sparsity, job.result.test_accuracy ?? job.result.validation_accuracy]).sort((one, other) => one[0] - other[0] || other[1] - one[1]);
  const front = sorted.filter(([, y], at) => sorted.slice(0, at).every(([, before]) => before < y));
  data.unshift({ x: front.map(([x]) => x), y: front.map(([, y]) => y), mode: "lines", line: { color: ink.muted, dash: "dot", shape: "hv" }, name: "front", hoverinfo: "skip" });
  return { data, layout: { xaxis: { title: { text: "weights that stay" }, tickformat: ".3~%", type: "log" }, yaxis: { tickformat: ".0%", title: { text: "accuracy" } }, showlegend: true } };
}

function nameOf(job) {
  return job.name || `${network(job.spec)} at ${goal(job.spec)}`;
}
