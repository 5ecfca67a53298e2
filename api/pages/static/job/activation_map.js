// The activation map: a row for each site in the order of its call, a column for each trial, the operator as the colour.
import { inks, picture } from "../chart/canvas.js";
import { h, fill } from "../core/dom.js";
import { percent } from "../core/format.js";
import { inLegendOrder, operatorColour } from "../core/operators.js";
import { stageLabel } from "../core/states.js";
import { paintGrid, paintSelection, STRIP, TOP } from "./map_drawing.js";
import { drawLeftMargin, drawRightMargin, LEFT, RIGHT, sitesOf } from "./map_margins.js";
import { hasOperators } from "./trials.js";
import { setView, toggle, view } from "./view.js";

const FOOT = 24;

/** The panel of the activation map. */
export function activationMapPanel(model) {
  let grid = null;
  let cursor = null;
  let seen = "";
  const order = h("select", { "aria-label": "Order of the columns", onchange: () => setView({ map: order.value }) }, h("option", { value: "time" }, "Trials by time"), h("option", { value: "accuracy" }, "Trials by accuracy"));
  const legend = h("p", { class: "legend operators" });
  const spotlight = { name: null };
  const drawing = picture({
    label: "Activation map",
    height: () => TOP + STRIP + (grid?.sites.length ?? 1) * rowHeight(grid?.sites.length ?? 1) + FOOT,
    draw: (context, width) => paint(context, width, grid, spotlight.name, cursor),
    onPoint: (x, y) => tipAt(grid, x, y),
    onPick: (x, _, event) => {
      const trial = trialAt(grid, x);
      if (trial) toggle(trial.key, { alone: !event.shiftKey && !event.ctrlKey && !event.metaKey });
    },
    onKey: (event) => moveCursor(event),
    onLeave: () => {
      cursor = null;
      drawing.redraw();
    },
  });
  const node = h(
    "section",
    { class: "card wide", "aria-labelledby": "map", hidden: true },
    h("header", {}, h("h2", { id: "map" }, "Activation map"), h("span", { class: "hint" }, "which operator each trial had at each call of an activation"), h("span", { class: "end" }, order)),
    drawing.node,
    legend,
  );

  function moveCursor(event) {
    const [dx, dy] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    const picks = event.key === "Enter" || event.key === " ";
    if (!grid || (!dx && !dy && !picks)) return;
    event.preventDefault();
    cursor ??= { column: -1, row: 0 };
    cursor.column = Math.max(0, Math.min(grid.trials.length - 1, cursor.column + dx));
    cursor.row = Math.max(0, Math.min(grid.sites.length - 1, cursor.row + dy));
    if (picks) toggle(grid.trials[cursor.column].key);
    drawing.redraw();
    const x = LEFT + (cursor.column + 0.5) * grid.columnWidth;
    drawing.showTip(x, TOP + STRIP + (cursor.row + 0.5) * grid.rowHeight, tipAt(grid, x, TOP + STRIP + (cursor.row + 0.5) * grid.rowHeight));
  }

  return {
    node,
    update() {
      const sites = sitesOf(model);
      node.hidden = sites.length === 0;
      if (node.hidden) return;
      order.value = view.map === "accuracy" ? "accuracy" : "time";
      const wanted = `${model.trials.version}|${view.stage}|${view.map}|${model.report !== null}`;
      if (wanted !== seen) grid = makeGrid(model, sites);
      seen = wanted;
      drawLegend(legend, grid, spotlight, drawing.redraw);
      drawing.canvas.setAttribute("aria-label", describe(model, grid));
      drawing.redraw();
    },
  };
}

function rowHeight(rows) {
  return rows <= 12 ? 30 : rows <= 24 ? 20 : rows <= 60 ? 12 : 8;
}

/** Columns and rows of the map, and `cells`: for each row the number of each trial's operator in `names`, or -1. */
function makeGrid(model, sites) {
  const { trials, places, names, rows } = model.remembered(`map ${sites.length}`, () => encode(model, sites));
  const byAccuracy = view.map === "accuracy";
  const ordered = byAccuracy ? model.ranked.filter(hasOperators).reverse() : trials;
  const order = byAccuracy ? Int32Array.from(ordered, (trial) => places.get(trial)) : null;
  const cells = order === null ? rows : rows.map((row) => reordered(row, order));
  return { model, sites, trials: ordered, names, cells, layer: null, rowHeight: rowHeight(sites.length), columnWidth: 0 };
}

function reordered(row, order) {
  const cells = new Int16Array(order.length);
  for (let at = 0; at < order.length; at += 1) cells[at] = row[order[at]];
  return cells;
}

/** The operators of all shown trials as numbers, in the order in which they ran. */
function encode(model, sites) {
  const trials = model.shown.filter(hasOperators);
  const codes = new Map([[undefined, -1]]);
  const rows = sites.map(({ path }) => {
    const row = new Int16Array(trials.length);
    trials.forEach((trial, at) => {
      const name = trial.operatorAt(path);
      if (!codes.has(name)) codes.set(name, codes.size - 1);
      row[at] = codes.get(name);
    });
    return row;
  });
  return { trials, rows, places: new Map(trials.map((trial, at) => [trial, at])), names: [...codes.keys()].slice(1) };
}

function paint(context, width, grid, spotlight, cursor) {
  if (!grid) return;
  const ink = inks();
  const inner = width - LEFT - RIGHT;
  grid.columnWidth = Math.min(26, inner / Math.max(1, grid.trials.length));
  paintGrid(context, width, grid, ink, spotlight);
  paintSelection(context, grid, ink, cursor);
  drawLeftMargin(context, grid, ink, TOP + STRIP);
  drawRightMargin(context, grid, ink, TOP + STRIP, LEFT + grid.columnWidth * grid.trials.length + 12);
  context.fillStyle = ink.muted;
  context.textAlign = "left";
  context.textBaseline = "top";
  const bottom = TOP + STRIP + grid.sites.length * grid.rowHeight + 7;
  const end = view.map === "accuracy" ? ["worst", "best"] : ["first trial", "last"];
  context.fillText(end[0], LEFT, bottom);
  context.textAlign = "right";
  context.fillText(end[1], LEFT + grid.columnWidth * grid.trials.length, bottom);
}

function drawLegend(legend, grid, spotlight, redraw) {
  const names = inLegendOrder(grid.names);
  const wanted = names.join();
  if (legend.dataset.names === wanted) return;
  legend.dataset.names = wanted;
  const light = (name) => {
    spotlight.name = spotlight.name === name ? null : name;
    for (const button of legend.children) button.setAttribute("aria-pressed", String(button.textContent === spotlight.name));
    redraw();
  };
  fill(legend, ...names.map((name) => h("button", { type: "button", class: "chip", "aria-pressed": "false", title: `Show ${name} alone`, onclick: () => light(name) }, h("i", { class: "swatch", style: { background: `rgb(${operatorColour(name).join(" ")})` }, "aria-hidden": "true" }), name)));
}

function trialAt(grid, x) {
  return grid?.trials[Math.floor((x - LEFT) / grid.columnWidth)];
}

function tipAt(grid, x, y) {
  const trial = x >= LEFT ? trialAt(grid, x) : null;
  const site = grid?.sites[Math.floor((y - TOP - STRIP) / grid.rowHeight)];
  if (!trial) return null;
  const facts = [`${stageLabel(trial.stage)}, trial ${trial.number}: ${trial.accuracy === null ? trial.state : percent(trial.accuracy)}`];
  if (site) facts.unshift(`${site.path}: ${trial.operatorAt(site.path) ?? "not searched"}`);
  return facts;
}

function describe(model, grid) {
  const { best } = model;
  const chosen = best ? Object.entries(best.sites).map(([path, name]) => `${path} ${name}`).join(", ") : "none yet";
  return `Activation map of ${grid.trials.length} trials at ${grid.sites.length} sites. Operators of the best trial: ${chosen}`;
}
