// Axes with a light grid.
import { ticks } from "./scale.js";

/**
 * Draw both axes of a box.
 *
 * @param box left, top, right, bottom in pixels
 * @param options x, y: {scale, format, title, count, values}; `values` replaces the round numbers
 */
export function drawAxes(context, box, ink, { x, y }) {
  context.lineWidth = 1;
  context.textBaseline = "middle";
  if (y) {
    context.textAlign = "right";
    for (const value of y.values ?? ticks(y.scale.domain, y.count ?? 5, y.scale.log)) {
      const at = Math.round(y.scale.to(value)) + 0.5;
      line(context, box.left, at, box.right, at, ink.line);
      context.fillStyle = ink.muted;
      context.fillText(y.format(value), box.left - 8, at);
    }
    if (y.title) title(context, ink, y.title, box.left, box.top - 12);
  }
  if (x) {
    context.textBaseline = "top";
    let taken = -Infinity;
    for (const value of x.values ?? ticks(x.scale.domain, x.count ?? 6, x.scale.log)) {
      const at = Math.round(x.scale.to(value)) + 0.5;
      const text = x.format(value);
      const half = context.measureText(text).width / 2;
      if (at - half < taken || at + half > box.right + 24) continue;
      taken = at + half + 8;
      line(context, at, box.bottom, at, box.bottom + 4, ink["line-strong"]);
      context.textAlign = "center";
      context.fillStyle = ink.muted;
      context.fillText(text, at, box.bottom + 7);
    }
    if (x.title) {
      context.textAlign = "right";
      context.fillStyle = ink.muted;
      context.fillText(x.title, box.right, box.bottom + 23);
    }
  }
  line(context, box.left, box.bottom + 0.5, box.right, box.bottom + 0.5, ink["line-strong"]);
}

function title(context, ink, text, x, y) {
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillStyle = ink.muted;
  context.fillText(text, x, y);
}

/** A straight line. */
export function line(context, x1, y1, x2, y2, stroke) {
  context.strokeStyle = stroke;
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}
