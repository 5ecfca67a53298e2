// The drawing of the history: points, promotions, the running best, and the default protocol.
import { drawAxes, line } from "../chart/axes.js";
import { inks } from "../chart/canvas.js";
import { percent } from "../core/format.js";
import { stageLabel } from "../core/states.js";
import { isRanked } from "./trials.js";
import { view } from "./view.js";

/** Trials above which points are small squares, and promotions are left out. */
export const MANY = 2000;

/** Opacity of the trials that are not selected, while others are. */
const DIMMED = 0.4;

/** Draw the placed points, those that are selected with a ring, and the one at `cursor`. */
export function paint(context, model, points, cursor) {
  const ink = inks();
  const { under, marks } = layersOf(context, model, points, ink);
  context.save();
  context.resetTransform();
  context.drawImage(under, 0, 0);
  context.globalAlpha = view.selected.size ? DIMMED : 1;
  context.drawImage(marks, 0, 0);
  context.restore();
  runningBest(context, points, ink);
  if (view.selected.size) points.byKey ??= new Map(points.map((point) => [point.trial.key, point]));
  for (const key of view.selected) if (points.byKey.has(key)) ring(context, points.byKey.get(key), ink.ink);
  if (points[cursor]) ring(context, points[cursor], ink.accent);
}

let layers = null;

/** What a selection changes nothing of, painted once: axes with the lines behind the points, and the points. */
function layersOf(context, model, points, ink) {
  const { width, height } = context.canvas;
  const wanted = [model.trials.version, view.stage, view.by, model.baseline, width, height, ink.surface].join("|");
  if (layers?.wanted === wanted) return layers;
  const layer = (draw) => {
    const copy = new OffscreenCanvas(width, height);
    const onto = copy.getContext("2d");
    onto.setTransform(context.getTransform());
    onto.font = context.font;
    draw(onto);
    return copy;
  };
  layers = { wanted, under: layer((onto) => paintUnder(onto, model, points, ink)), marks: layer((onto) => paintMarks(onto, points, ink)) };
  return layers;
}

function paintUnder(context, model, points, ink) {
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
  if (!points.length) {
    context.textAlign = "center";
    context.fillStyle = ink.muted;
    context.fillText("No trial has begun yet.", (box.left + box.right) / 2, (box.top + box.bottom) / 2);
  }
}

function paintMarks(context, points, ink) {
  const draw = points.length > MANY ? drawSquare : drawPoint;
  for (const point of points) draw(context, point, ink, 0.85);
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
  points.best ??= stepsOf(points);
  if (!points.best.length) return;
  context.strokeStyle = ink.series[2];
  context.lineWidth = 2;
  context.beginPath();
  let y = points.best[0].y;
  context.moveTo(points.best[0].x, y);
  for (const point of points.best) {
    context.lineTo(point.x, y);
    context.lineTo(point.x, (y = point.y));
  }
  context.lineTo(points.box.right, y);
  context.stroke();
}

/** The points of the trials that were the best when they ended, from left to right. */
function stepsOf(points) {
  let best = -Infinity;
  const inOrder = [...points].sort((one, other) => one.x - other.x);
  return inOrder.filter(({ trial }) => isRanked(trial) && trial.accuracy > best && ((best = trial.accuracy), true));
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
