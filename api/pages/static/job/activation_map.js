// The activation map: a row for each site in the order of its call, a column for each trial, the operator as the colour.
import { inks, picture } from "../chart/canvas.js";
import { h, fill } from "../core/dom.js";
import { percent } from "../core/format.js";
import { inLegendOrder, operatorColour, operatorCss } from "../core/operators.js";
import { stageLabel } from "../core/states.js";
import { drawLeftMargin, drawRightMargin, LEFT, RIGHT, sitesOf } from "./map_margins.js";
import { hasOperators } from "./trials.js";
import { setView, toggle, view } from "./view.js";

const STRIP = 46;
const TOP = 22;
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
  const cells = order === null ? rows : rows.map((row) => Int16Array.from(order, (place) => row[place]));
  return { model, sites, trials: ordered, names, cells, layer: null, rowHeight: rowHeight(sites.length), columnWidth: 0 };
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
  blit(context, width, grid, ink, spotlight);
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

/** The accuracy of each column, as bars above the map. */
function paintStrip(context, grid, ink) {
  const accuracies = grid.trials.map((trial) => trial.accuracy);
  const most = accuracies.reduce((high, one) => Math.max(high, one ?? 0), 0.01);
  context.fillStyle = ink.line;
  context.fillRect(LEFT, TOP + STRIP - 5, grid.columnWidth * grid.trials.length, 1);
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.fillStyle = ink.muted;
  context.fillText(`accuracy, up to ${percent(most, 0)}`, LEFT - 10, TOP + 6);
  const gap = grid.columnWidth > 4 ? 1 : 0;
  const { count, width } = pixels(grid);
  for (let column = 0; column < count; column += 1) {
    const trials = grid.trials.slice(...span(grid, column, count));
    const best = trials.reduce((one, other) => ((other.accuracy ?? -1) > (one.accuracy ?? -1) ? other : one));
    const tall = (STRIP - 8) * ((best.accuracy ?? 0) / most);
    context.fillStyle = best.state === "failed" ? ink.bad : ink.point;
    context.globalAlpha = best.epochs < longest(grid) ? 0.5 : 1;
    context.fillRect(LEFT + column * width, TOP + STRIP - 5 - tall, Math.max(0.6, width - gap), tall);
  }
  context.globalAlpha = 1;
}

/** Columns that are drawn: one for each trial, or one for each pixel if there are more trials. */
function pixels(grid) {
  const all = grid.trials.length;
  const count = Math.min(all, Math.max(1, Math.floor(grid.columnWidth * all)));
  return { count, width: (grid.columnWidth * all) / count };
}

/** The first trial of a drawn column, and the first after it. */
function span(grid, column, count) {
  const all = grid.trials.length;
  const from = Math.floor((column * all) / count);
  return [from, Math.max(from + 1, Math.floor(((column + 1) * all) / count))];
}

function longest(grid) {
  grid.longest ??= grid.trials.reduce((most, trial) => Math.max(most, trial.epochs), 1);
  return grid.longest;
}

/** Draw the strip and the cells, from a copy if nothing but the selection has changed. */
function blit(context, width, grid, ink, spotlight) {
  const sharpness = context.getTransform().a;
  const wanted = `${width}|${spotlight}|${ink.surface}|${sharpness}`;
  if (grid.layer?.wanted !== wanted) {
    const copy = new OffscreenCanvas(context.canvas.width, context.canvas.height);
    const onto = copy.getContext("2d");
    onto.scale(sharpness, sharpness);
    onto.font = context.font;
    paintStrip(onto, grid, ink);
    paintCells(onto, grid, spotlight);
    grid.layer = { wanted, copy };
  }
  context.drawImage(grid.layer.copy, 0, 0, grid.layer.copy.width / sharpness, grid.layer.copy.height / sharpness);
}

/** Cells; where columns are narrower than a pixel, each pixel shows the operator that most of its trials have. */
function paintCells(context, grid, spotlight) {
  const { count, width } = pixels(grid);
  const gap = width > 6 ? 1 : 0;
  const tall = grid.rowHeight - (grid.rowHeight > 10 ? 1 : 0);
  const colours = grid.names.map(operatorCss);
  grid.cells.forEach((cells, row) => {
    for (let column = 0; column < count; column += 1) {
      const [from, to] = span(grid, column, count);
      const code = commonest(cells, from, to, grid.names.length);
      if (code < 0) continue;
      context.globalAlpha = spotlight && spotlight !== grid.names[code] ? 0.12 : grid.trials[from].state === "failed" && to - from === 1 ? 0.35 : 1;
      context.fillStyle = colours[code];
      context.fillRect(LEFT + column * width, TOP + STRIP + row * grid.rowHeight, width - gap + (gap ? 0 : 0.4), tall);
    }
  });
  context.globalAlpha = 1;
}

function commonest(cells, from, to, names) {
  if (to - from === 1) return cells[from];
  const counts = new Uint32Array(names);
  let best = -1;
  for (let at = from; at < to; at += 1) {
    const code = cells[at];
    if (code >= 0 && (counts[code] += 1) > (best < 0 ? 0 : counts[best])) best = code;
  }
  return best;
}

function paintSelection(context, grid, ink, cursor) {
  const tall = grid.sites.length * grid.rowHeight;
  context.lineWidth = 2;
  if (view.selected.size) grid.trials.forEach((trial, at) => {
    if (!view.selected.has(trial.key)) return;
    context.strokeStyle = ink.ink;
    context.strokeRect(LEFT + at * grid.columnWidth - 1, TOP + STRIP - 2, Math.max(2, grid.columnWidth + 1), tall + 3);
  });
  if (cursor && cursor.column >= 0) {
    context.strokeStyle = ink.accent;
    context.strokeRect(LEFT + cursor.column * grid.columnWidth - 1, TOP + STRIP + cursor.row * grid.rowHeight - 1, Math.max(3, grid.columnWidth + 1), grid.rowHeight + 1);
  }
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
