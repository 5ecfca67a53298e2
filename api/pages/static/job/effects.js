// What an operator does at a site: the mean difference of its trials from the median of their stage and length.
import { h, fill } from "../core/dom.js";
import { points } from "../core/format.js";
import { inLegendOrder, operatorCss } from "../core/operators.js";
import { sitesOf } from "./map_margins.js";
import { hasOperators, isRanked } from "./trials.js";
import { view } from "./view.js";

const FEWEST = 3;

/** Rows of mean differences: site -> operator -> {sum, n}. Trials are compared with those of the same epochs alone. */
export function effectsOf(trials, paths) {
  const ranked = trials.filter((trial) => isRanked(trial) && hasOperators(trial));
  const groups = new Map();
  for (const trial of ranked) {
    const key = groupOf(trial);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(trial.accuracy);
  }
  const medians = new Map([...groups].map(([key, values]) => [key, median(values)]));
  const found = new Map();
  for (const path of paths) {
    const row = new Map();
    for (const trial of ranked) {
      const name = trial.operatorAt(path);
      if (name === undefined) continue;
      if (!row.has(name)) row.set(name, { sum: 0, n: 0 });
      const cell = row.get(name);
      cell.sum += trial.accuracy - medians.get(groupOf(trial));
      cell.n += 1;
    }
    if (row.size) found.set(path, row);
  }
  return found;
}

function groupOf(trial) {
  return trial.stage + trial.epochs;
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The panel: a table whose cells are coloured by their difference, grey where fewer than three trials speak. */
export function effectsPanel(model) {
  const table = h("table", { class: "effects" });
  const node = h(
    "section",
    { class: "card wide", "aria-labelledby": "effects", hidden: true },
    h("header", {}, h("h2", { id: "effects" }, "What an operator does at a site"), h("span", { class: "hint" }, "mean difference in accuracy from the median of trials of the same stage and length; small: number of trials; grey: fewer than three")),
    h("div", { class: "scroll flat", tabindex: "0", role: "region", "aria-label": "Effect of operators at sites" }, table),
  );
  let drawn = "";
  return {
    node,
    update() {
      const wanted = `${model.trials.version}|${view.stage}|${model.report !== null}`;
      if (wanted === drawn) return;
      drawn = wanted;
      const effects = effectsOf(model.shown, sitesOf(model).map((site) => site.path));
      node.hidden = effects.size === 0;
      if (!node.hidden) drawTable(table, effects);
    },
  };
}

function drawTable(table, effects) {
  const names = inLegendOrder(new Set([...effects.values()].flatMap((row) => [...row.keys()])));
  const strongest = Math.max(0.01, ...[...effects.values()].flatMap((row) => [...row.values()].filter((cell) => cell.n >= FEWEST).map((cell) => Math.abs(cell.sum / cell.n))));
  fill(
    table,
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Site"), ...names.map((name) => h("th", { scope: "col" }, h("i", { class: "swatch", "aria-hidden": "true", style: { background: operatorCss(name) } }), h("span", {}, name))))),
    h("tbody", {}, ...[...effects].map(([path, row]) => h("tr", {}, h("th", { scope: "row" }, path), ...names.map((name) => effectCell(row.get(name), strongest))))),
  );
}

function effectCell(cell, strongest) {
  if (!cell) return h("td", { class: "none" }, h("span", { class: "hidden-text" }, "none"));
  const mean = cell.sum / cell.n;
  const few = cell.n < FEWEST;
  const share = Math.round((62 * Math.abs(mean)) / strongest);
  const tone = mean >= 0 ? "var(--series-1)" : "var(--series-2)";
  const background = few ? null : { background: `color-mix(in srgb, ${tone} ${Math.min(62, share)}%, var(--surface))` };
  return h("td", { class: few ? "few" : null, style: background ?? {} }, h("span", {}, points(mean).replace(" pp", "")), h("small", {}, `${cell.n}`));
}
