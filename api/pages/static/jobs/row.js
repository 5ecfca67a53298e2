// One job as a row of the list.
import { ROOT } from "../core/api.js";
import { fill, h, setAttribute, setText } from "../core/dom.js";
import { age, duration, goal, moment, network, percent, points } from "../core/format.js";
import { badge, FINAL, progressBar, stageLabel } from "../core/states.js";

const MOST_SOURCES = 2;

/** The columns: name, class, and the two orders of the list by this column. */
export const COLUMNS = [
  ["", "choose"],
  ["State", "", ["state", "-state"]],
  ["Name", "", ["name", "-name"]],
  ["Network", ""],
  ["Data", ""],
  ["Sparsity", "number", ["-sparsity", "sparsity"]],
  ["Progress", ""],
  ["Best", "number", ["-accuracy", "accuracy"]],
  ["Gain", "number", ["-gain", "gain"]],
  ["Owner", ""],
  ["Submitted", "number", ["", "oldest"]],
];

/**
 * @param chosen set of the ids of the chosen jobs
 * @param onChoice called after a job was chosen or dropped
 */
export function jobRow(job, chosen, onChoice) {
  const state = badge(job.state);
  const bar = progressBar("Progress");
  const name = h("a", { href: `${ROOT}/jobs/${job.id}` });
  const lineage = h("span", { class: "lineage muted", hidden: true });
  const cells = Object.fromEntries(["network", "data", "sparsity", "best", "gain", "owner", "age", "left"].map((key) => [key, h("span")]));
  const box = h("input", {
    type: "checkbox",
    checked: chosen.has(job.id),
    "aria-label": `Select ${job.name || job.id}`,
    onchange: () => {
      if (box.checked) chosen.add(job.id);
      else chosen.delete(job.id);
      onChoice();
    },
  });
  const node = h(
    "tr",
    { "data-job": job.id },
    h("td", { class: "choose" }, box),
    h("td", {}, state.node),
    h("th", { scope: "row" }, name, h("span", { class: "id muted" }, job.id), lineage),
    h("td", {}, cells.network),
    h("td", {}, cells.data),
    h("td", { class: "number" }, cells.sparsity),
    h("td", { class: "progress" }, bar.node, cells.left),
    h("td", { class: "number" }, cells.best),
    h("td", { class: "number" }, cells.gain),
    h("td", {}, cells.owner),
    h("td", { class: "number" }, cells.age),
  );

  function update(now) {
    state.update(now.state);
    setText(name, now.name || network(now.spec));
    setText(cells.network, network(now.spec));
    setText(cells.data, now.spec.data.dataset);
    setText(cells.sparsity, goal(now.spec));
    setText(cells.owner, now.owner);
    setText(cells.age, age(now.created_at));
    setAttribute(cells.age, "title", moment(now.created_at));
    showLineage(lineage, now.reused);
    showProgress(now);
    showBest(now);
  }

  function showProgress(now) {
    const running = !FINAL.has(now.state) && now.progress;
    bar.node.hidden = !running;
    bar.update(now.progress?.fraction);
    setText(cells.left, progressText(now));
    setAttribute(cells.left, "title", now.error?.message);
  }

  function showBest(now) {
    const best = now.result?.test_accuracy ?? (now.result ? now.result.validation_accuracy : now.progress?.best_accuracy);
    const gain = now.result?.gain?.test ?? now.result?.gain?.validation;
    setText(cells.best, percent(best));
    setAttribute(cells.best, "title", now.result ? "Test accuracy of the result" : "Best validation accuracy of the present stage");
    setAttribute(cells.best, "class", now.result ? null : "muted");
    setText(cells.gain, points(gain));
    setAttribute(cells.gain, "class", gain > 0 ? "good" : gain < 0 ? "bad" : null);
    setAttribute(cells.gain, "title", "Against the default protocol, on the test split");
  }

  update(job);
  return { node, update };
}

/** Which stages came from earlier jobs, with links to these. */
function showLineage(node, reused) {
  const sources = new Map();
  for (const [stage, ids] of Object.entries(reused ?? {})) for (const id of ids) sources.set(id, [...(sources.get(id) ?? []), stageLabel(stage).toLowerCase()]);
  const wanted = JSON.stringify([...sources]);
  if (node.dataset.shown === wanted) return;
  node.dataset.shown = wanted;
  node.hidden = sources.size === 0;
  const links = [...sources].slice(0, MOST_SOURCES).flatMap(([id, stages], at) => [at ? "; " : "", `${stages.join(", ")} of `, h("a", { href: `${ROOT}/jobs/${id}` }, id)]);
  fill(node, "↳ reused ", ...links, sources.size > MOST_SOURCES ? ` and ${sources.size - MOST_SOURCES} more jobs` : "");
}

function progressText(job) {
  if (job.state === "failed") return job.error?.stage ? `failed in ${stageLabel(job.error.stage).toLowerCase()}` : "failed";
  if (FINAL.has(job.state)) return job.started_at ? duration((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000) : "";
  if (!job.progress) return job.state === "queued" ? "waiting" : "starting";
  const left = job.progress.remaining_s;
  return left === null ? stageLabel(job.stage) : `${stageLabel(job.stage)}, ${duration(left)} left`;
}
