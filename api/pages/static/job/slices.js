// Slices of the recipe: accuracy against each hyperparameter, one picture each.
import { drawAxes } from "../chart/axes.js";
import { inks, picture } from "../chart/canvas.js";
import { extent, scale } from "../chart/scale.js";
import { get } from "../core/api.js";
import { h, keyed, setText } from "../core/dom.js";
import { percent, short } from "../core/format.js";
import { isRanked } from "./trials.js";
import { toggle, view } from "./view.js";

const HEIGHT = 190;
const NEAR = 12;
const WIDE_RANGE = 50;

/** The panel with a picture for each hyperparameter that the shown trials vary. */
export function slicesPanel(model) {
  const box = h("div", { class: "slices" });
  const node = h("section", { class: "card wide", "aria-labelledby": "slices", hidden: true }, h("header", {}, h("h2", { id: "slices" }, "Recipe"), h("span", { class: "hint" }, "accuracy of finished trials against each hyperparameter; darker: more epochs")), box);
  let seen = "";
  let varied = [];
  let asked = "";

  /** Ask once for each search which hyperparameters decide, when it has ended or this panel is first seen. */
  async function askShares() {
    const stage = model.searches.filter((one) => (!view.stage || one === view.stage) && one !== "activations").at(-1);
    const wanted = `${stage}|${model.isFinal}`;
    if (!stage || wanted === asked) return;
    asked = wanted;
    const { shares } = await get(`/v1/jobs/${model.id}/importances/${stage}`).catch(() => ({ shares: {} }));
    for (const figure of box.children) {
      const share = shares[figure.dataset.name];
      setText(figure.querySelector(".share"), share === undefined ? "" : `explains ${percent(share, 0)}`);
    }
  }

  return {
    node,
    update() {
      const wanted = `${model.trials.version}|${view.stage}`;
      if (wanted !== seen) varied = hyperparameters(model.shown.filter(isRanked));
      seen = wanted;
      node.hidden = varied.length === 0;
      keyed(box, varied, (name) => name, (name) => slice(model, name));
      if (!node.hidden) askShares();
    },
  };
}

/** Names of the hyperparameters with more than one value. */
function hyperparameters(trials) {
  const values = new Map();
  for (const trial of trials) {
    for (const [name, value] of Object.entries(trial.recipe)) {
      const seen = values.get(name) ?? values.set(name, new Set()).get(name);
      if (seen.size < 2) seen.add(value);
    }
  }
  return [...values].filter(([, seen]) => seen.size > 1).map(([name]) => name);
}

function slice(model, name) {
  let points = [];
  const drawing = picture({
    label: `Accuracy against ${name}`,
    height: HEIGHT,
    draw: (context, width, height) => {
      points = place(model, name, width, height);
      paint(context, points);
    },
    onPoint: (x, y) => tip(name, nearest(points, x, y)),
    onPick: (x, y, event) => {
      const found = nearest(points, x, y);
      if (found) toggle(found.trial.key, { alone: !event.shiftKey && !event.ctrlKey && !event.metaKey });
    },
  });
  const node = h("figure", { "data-name": name }, h("figcaption", {}, name, " ", h("span", { class: "share muted" })), drawing.node);
  return { node, update: drawing.redraw };
}

function place(model, name, width, height) {
  const trials = model.shown.filter((trial) => isRanked(trial) && trial.valueOf(name) !== undefined);
  const box = { left: 40, right: width - 8, top: 8, bottom: height - 26 };
  const values = trials.map((trial) => trial.valueOf(name));
  const axis = values.every((value) => typeof value === "number") ? numberAxis(values, box) : wordAxis(values, box);
  const [low, high] = extent(model.shown.map((trial) => trial.accuracy), [0, 1]);
  const y = scale([Math.max(0, low), Math.min(1.01, high)], [box.bottom, box.top]);
  const longest = trials.reduce((most, trial) => Math.max(most, trial.epochs), 1);
  const points = trials.map((trial, at) => ({ trial, x: axis.at(values[at], at), y: y.to(trial.accuracy), alpha: 0.25 + 0.6 * (trial.epochs / longest) }));
  return Object.assign(points, { box, y, axis });
}

function numberAxis(values, box) {
  const least = Math.min(...values);
  const most = Math.max(...values);
  const log = least > 0 && most / least > WIDE_RANGE;
  const domain = log ? [least * 0.8, most * 1.25] : extent(values);
  const x = scale(domain, [box.left, box.right], { log });
  return { at: (value) => x.to(value), draw: { scale: x, format: short, count: 4 } };
}

/** Words stand side by side; their points are spread a little, always in the same way. */
function wordAxis(values, box) {
  const words = [...new Set(values)].map(String).sort();
  const x = scale([0, words.length], [box.left, box.right]);
  const spread = (at) => 0.5 + 0.5 * (((at * 0.618034) % 1) - 0.5);
  return {
    at: (value, place) => x.to(words.indexOf(String(value)) + spread(place)),
    draw: { scale: x, values: words.map((_, at) => at + 0.5), format: (at) => cutWord(words[Math.floor(at)], (box.right - box.left) / words.length) },
  };
}

function cutWord(word, room) {
  const fits = Math.max(3, Math.floor(room / 7));
  return word.length <= fits ? word : `${word.slice(0, fits - 1)}…`;
}

function paint(context, points) {
  const ink = inks();
  drawAxes(context, points.box, ink, { x: points.axis.draw, y: { scale: points.y, format: (value) => percent(value, 0), count: 3 } });
  context.fillStyle = ink.point;
  const side = points.length > 2000 ? 2 : 5;
  for (const { trial, x, y, alpha } of points) {
    const chosen = view.selected.has(trial.key);
    context.globalAlpha = view.selected.size && !chosen ? 0.15 : alpha;
    context.fillRect(x - side / 2, y - side / 2, side, side);
    if (!chosen) continue;
    context.globalAlpha = 1;
    context.strokeStyle = ink.ink;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, 5.5, 0, 7);
    context.stroke();
  }
  context.globalAlpha = 1;
}

function nearest(points, x, y) {
  let best = null;
  let least = NEAR * NEAR;
  for (const point of points) {
    const distance = (point.x - x) ** 2 + (point.y - y) ** 2;
    if (distance <= least) [best, least] = [point, distance];
  }
  return best;
}

function tip(name, point) {
  if (!point) return null;
  const value = point.trial.recipe[name];
  return [`${name} ${typeof value === "number" ? short(value) : value}`, `trial ${point.trial.number}: ${percent(point.trial.accuracy)}, ${point.trial.epochs} epochs`];
}
