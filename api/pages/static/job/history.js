// History: every trial at its time, the running best, and the default protocol as a line.
import { picture } from "../chart/canvas.js";
import { extent, scale } from "../chart/scale.js";
import { h, fill } from "../core/dom.js";
import { duration, percent } from "../core/format.js";
import { stageLabel } from "../core/states.js";
import { MANY, paint } from "./history_drawing.js";
import { isRanked } from "./trials.js";
import { setView, toggle, view } from "./view.js";

const HEIGHT = 340;
const NEAR = 14;
const X_AXES = {
  order: { label: "Trials in order", value: (_, place) => place + 1, format: (value) => String(Math.round(value)), title: "trial" },
  time: { label: "Time", value: (trial, _, first) => ((trial.finished ?? trial.started) - first) / 1000, format: duration, title: "since the first trial" },
  epochs: { label: "Epochs spent", value: (trial, _, __, spent) => spent, format: (value) => String(Math.round(value)), title: "epochs trained so far" },
};

/** The panel of all trials over time. */
export function historyPanel(model) {
  let points = [];
  let cursor = -1;
  const choice = h(
    "select",
    { "aria-label": "Horizontal axis", onchange: () => setView({ by: choice.value }) },
    ...Object.entries(X_AXES).map(([value, axis]) => h("option", { value }, axis.label)),
  );
  const drawing = picture({
    label: "Validation accuracy of every trial, with the running best",
    height: HEIGHT,
    draw: (context, width, height) => {
      points = model.remembered(`history ${view.by} ${width} ${model.baseline}`, () => place(model, width, height));
      paint(context, model, points, cursor);
    },
    onPoint: (x, y) => tipOf(nearest(points, x, y)),
    onPick: (x, y, event) => {
      const found = nearest(points, x, y);
      if (found) toggle(found.trial.key, { alone: !event.shiftKey && !event.ctrlKey && !event.metaKey });
    },
    onKey: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) cursor = Math.max(0, Math.min(points.length - 1, cursor + step));
      else if ((event.key === "Enter" || event.key === " ") && points[cursor]) toggle(points[cursor].trial.key);
      else return;
      event.preventDefault();
      drawing.redraw();
      drawing.showTip(points[cursor]?.x ?? 0, points[cursor]?.y ?? 0, tipOf(points[cursor]));
    },
    onLeave: () => {
      if (cursor >= 0) drawing.redraw((cursor = -1));
    },
  });
  const legend = h("p", { class: "legend" });
  const node = h(
    "section",
    { class: "card wide", "aria-labelledby": "history" },
    h("header", {}, h("h2", { id: "history" }, "History"), h("span", { class: "hint" }, "validation accuracy of each trial"), h("span", { class: "end" }, choice)),
    drawing.node,
    legend,
  );
  return {
    node,
    update() {
      choice.value = view.by in X_AXES ? view.by : "order";
      drawing.redraw();
      describe(drawing.canvas, legend, model);
    },
  };
}

function describe(canvas, legend, model) {
  canvas.setAttribute("aria-label", model.remembered("history in words", () => inWords(model)));
  if (legend.dataset.baseline === String(model.baseline)) return;
  legend.dataset.baseline = String(model.baseline);
  fill(
    legend,
    key("dot", "done"), key("ring", "stopped early"), key("cross", "failed"),
    key("step", "running best"), model.baseline === null ? null : key("dash", "default protocol"),
    h("span", {}, "size: epochs"),
  );
}

function inWords(model) {
  const trials = model.shown;
  const count = (test) => trials.filter(test).length;
  const best = model.best;
  const facts = [`${count(isRanked)} done`, `${count((one) => one.state === "failed")} failed`, `${count((one) => one.left)} stopped early`];
  const text = best ? `best ${percent(best.accuracy)} by trial ${best.number} of ${stageLabel(best.stage).toLowerCase()}` : "no trial is done";
  return `Validation accuracy of ${trials.length} trials: ${facts.join(", ")}; ${text}`;
}

function key(kind, text) {
  return h("span", {}, h("i", { class: `key ${kind}`, "aria-hidden": "true" }), text);
}

/** The pixels of every trial; those without an accuracy stand at the bottom. */
function place(model, width, height) {
  const trials = model.shown;
  const box = { left: 52, right: width - 14, top: 26, bottom: height - 44 };
  const axis = X_AXES[view.by] ?? X_AXES.order;
  const first = trials.length ? trials.reduce((least, one) => Math.min(least, one.started), Infinity) : 0;
  let spent = 0;
  const values = trials.map((trial, at) => axis.value(trial, at, first, (spent += trained(trial, model))));
  const x = scale(extent(values, [0, 1], 0.015), [box.left, box.right]);
  const heights = trials.map((trial) => trial.accuracy);
  if (model.baseline !== null) heights.push(model.baseline);
  const [low, high] = extent(heights, [0, 1]);
  const y = scale([Math.max(-0.02, low), Math.min(1.02, high)], [box.bottom - 12, box.top]);
  const longest = trials.reduce((most, one) => Math.max(most, one.epochs), 1);
  const points = trials.map((trial, at) => ({
    trial,
    x: x.to(values[at]),
    y: trial.accuracy === null ? box.bottom - 4 : y.to(trial.accuracy),
    r: (trials.length > MANY ? 1.6 : 2.4) + (trials.length > MANY ? 1.2 : 2.6) * Math.sqrt(trial.epochs / longest),
  }));
  return Object.assign(points, { box, scales: { x, y }, axis });
}

function trained(trial, model) {
  const before = trial.continues === null || trial.continues === undefined ? null : model.trials.get(`${trial.stage}-${trial.continues}`);
  return trial.epochs - (before?.epochs ?? 0);
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

function tipOf(point) {
  if (!point) return null;
  const { trial } = point;
  const facts = [`${stageLabel(trial.stage)}, trial ${trial.number}: ${trial.accuracy === null ? trial.state : percent(trial.accuracy)}`];
  facts.push(`${trial.epochs} epochs${trial.seconds === null ? "" : `, ${duration(trial.seconds)}`}`);
  if (trial.continues !== null && trial.continues !== undefined) facts.push(`continues trial ${trial.continues}`);
  if (trial.left) facts.push(`stopped early: ${trial.left}`);
  if (trial.error) facts.push(trial.error);
  if (trial.recalled) facts.push(`reused from ${trial.recalled}`);
  return facts;
}
