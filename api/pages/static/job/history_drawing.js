// The drawing of the history: points, promotions, the running best, and the default protocol.
import { drawAxes, line } from "../chart/axes.js";
import { inks } from "../chart/canvas.js";
import { percent } from "../core/format.js";
import { stageLabel } from "../core/states.js";
import { isRanked } from "./trials.js";
import { view } from "./view.js";

/** Trials above which points are small squares, and promotions are left out. */
export const MANY = 2000;

/** Draw the placed points, those that are selected with a ring, and the one at `cursor`. */
export function paint(context, model, points, cursor) {
  const ink = inks();
  blit(context, model, points, ink);
  for (const point of points) if (view.selected.has(point.trial.key)) ring(context, point, ink.ink);
  if (points[cursor]) ring(context, points[cursor], ink.accent);
}

let layer = null;

/** Draw everything but the selection and the cursor, from a copy if nothing else has changed. */
function blit(context, model, points, ink) {
  const { width, height } = context.canvas;
  const wanted = [model.trials.version, view.stage, view.by, view.selected.size > 0, model.baseline, width, height, ink.surface].join("|");
  if (layer?.wanted !== wanted) {
    const copy = new OffscreenCanvas(width, height);
    const onto = copy.getContext("2d");
    onto.setTransform(context.getTransform());
    onto.font = context.font;
    paintAll(onto, model, points, ink);
    layer = { wanted, copy };
  }
  context.save();
  context.resetTransform();
  context.drawImage(layer.copy, 0, 0);
  context.restore();
}

function paintAll(context, model, points, ink) {
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
  const draw = points.length > MANY ? drawSquare : drawPoint;
  for (const point of points) draw(context, point, ink, view.selected.size ? 0.35 : 0.85);
  context.globalAlpha = 1;
  runningBest(context, points, ink);
  if (!points.length) {
    context.textAlign = "center";
    context.fillStyle = ink.muted;
    context.fillText("No trial has begun yet.", (box.left + box.right) / 2, (box.top + box.bottom) / 2);
  }
}

/** A point of a picture with very many: a square costs a fraction of a circle. */
function drawSquare(context, { trial, x, y, r }, ink, alpha) {
  const kind = trial.state === "failed" ? ink.bad : trial.left ? ink.series[3] : trial.state === "done" ? ink.point : ink.muted;
  context.globalAlpha = alpha;
  context.fillStyle = kind;
  context.fillRect(x - r, y - r, 2 * r, 2 * r);
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
  if (points.length > MANY) return;
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
