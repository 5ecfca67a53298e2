// History: every trial at its time, the running best, and the default protocol as a line.
import { drawAxes, line } from "../chart/axes.js";
import { inks, picture } from "../chart/canvas.js";
import { extent, scale } from "../chart/scale.js";
import { h, fill } from "../core/dom.js";
import { duration, percent } from "../core/format.js";
import { stageLabel } from "../core/states.js";
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
      points = place(model, width, height);
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
  const trials = model.shown;
  const count = (test) => trials.filter(test).length;
  const best = model.best;
  const facts = [`${count(isRanked)} done`, `${count((one) => one.state === "failed")} failed`, `${count((one) => one.left)} stopped early`];
  const text = best ? `best ${percent(best.accuracy)} by trial ${best.number} of ${stageLabel(best.stage).toLowerCase()}` : "no trial is done";
  canvas.setAttribute("aria-label", `Validation accuracy of ${trials.length} trials: ${facts.join(", ")}; ${text}`);
  fill(
    legend,
    key("dot", "done"), key("ring", "stopped early"), key("cross", "failed"),
    key("step", "running best"), model.baseline === null ? null : key("dash", "default protocol"),
    h("span", {}, "size: epochs"),
  );
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
    r: (trials.length > 2000 ? 1.6 : 2.4) + (trials.length > 2000 ? 1.2 : 2.6) * Math.sqrt(trial.epochs / longest),
  }));
  return Object.assign(points, { box, scales: { x, y }, axis });
}

function trained(trial, model) {
  const before = trial.continues === null || trial.continues === undefined ? null : model.trials.get(`${trial.stage}-${trial.continues}`);
  return trial.epochs - (before?.epochs ?? 0);
}

function paint(context, model, points, cursor) {
  const ink = inks();
  const { box, scales, axis } = points;
  drawAxes(context, box, ink, {
    x: { scale: scales.x, format: axis.format, title: axis.title },
    y: { scale: scales.y, format: (value) => percent(value, 0) },
  });
  stageBands(context, points, ink);
  promotions(context, points, ink);
  if (model.baseline !== null) {
    context.setLineDash([6, 4]);
    context.lineWidth = 1.5;
    const at = scales.y.to(model.baseline);
    line(context, box.left, at, box.right, at, ink.series[1]);
    context.setLineDash([]);
  }
  const chosen = view.selected.size > 0;
  for (const point of points) drawPoint(context, point, ink, chosen && !view.selected.has(point.trial.key) ? 0.3 : 0.85);
  context.globalAlpha = 1;
  runningBest(context, points, ink);
  for (const point of points) if (view.selected.has(point.trial.key)) ring(context, point, ink.ink);
  if (points[cursor]) ring(context, points[cursor], ink.accent);
  if (!points.length) {
    context.textAlign = "center";
    context.fillStyle = ink.muted;
    context.fillText("No trial has begun yet.", (box.left + box.right) / 2, (box.top + box.bottom) / 2);
  }
}

function drawPoint(context, { trial, x, y, r }, ink, alpha) {
  context.globalAlpha = trial.state === "running" ? 0.5 : alpha;
  if (trial.state === "failed" || trial.state === "interrupted") {
    context.strokeStyle = trial.state === "failed" ? ink.bad : ink.muted;
    context.lineWidth = 1.6;
    context.beginPath();
    context.moveTo(x - 3.5, y - 3.5);
    context.lineTo(x + 3.5, y + 3.5);
    context.moveTo(x + 3.5, y - 3.5);
    context.lineTo(x - 3.5, y + 3.5);
    context.stroke();
    return;
  }
  context.beginPath();
  context.arc(x, y, r, 0, 7);
  if (trial.left || trial.state === "running") {
    context.strokeStyle = trial.left ? ink.series[3] : ink.muted;
    context.lineWidth = 1.4;
    context.stroke();
  } else {
    context.fillStyle = ink.point;
    context.fill();
  }
}

function ring(context, { x, y, r }, stroke) {
  context.strokeStyle = stroke;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x, y, r + 3, 0, 7);
  context.stroke();
}

/** Lines from a trial of a halving rung to the trial that continues it. */
function promotions(context, points, ink) {
  if (points.length > 3000) return;
  const places = new Map(points.map((point) => [point.trial.key, point]));
  context.lineWidth = 1;
  context.globalAlpha = 0.45;
  for (const point of points) {
    const from = point.trial.continues === null || point.trial.continues === undefined ? null : places.get(`${point.trial.stage}-${point.trial.continues}`);
    if (from && point.trial.accuracy !== null && from.trial.accuracy !== null) line(context, from.x, from.y, point.x, point.y, ink["line-strong"]);
  }
  context.globalAlpha = 1;
}

function runningBest(context, points, ink) {
  let best = -Infinity;
  let y = 0;
  context.strokeStyle = ink.series[2];
  context.lineWidth = 2;
  context.beginPath();
  const inOrder = [...points].sort((one, other) => one.x - other.x);
  for (const point of inOrder) {
    if (!isRanked(point.trial) || point.trial.accuracy <= best) continue;
    if (best === -Infinity) context.moveTo(point.x, point.y);
    else {
      context.lineTo(point.x, y);
      context.lineTo(point.x, point.y);
    }
    best = point.trial.accuracy;
    y = point.y;
  }
  if (best > -Infinity) context.lineTo(points.box.right, y);
  context.stroke();
}

function stageBands(context, points, ink) {
  let stage = null;
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (const point of points) {
    if (point.trial.stage === stage) continue;
    if (stage !== null) line(context, point.x - 4, points.box.top - 16, point.x - 4, points.box.bottom, ink["line-strong"]);
    stage = point.trial.stage;
    context.fillStyle = ink.muted;
    context.fillText(stageLabel(stage), point.x, points.box.top - 12);
  }
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
