// The drawing of the activation map: a strip of accuracies, cells, and what is selected.
import { percent } from "../core/format.js";
import { operatorColour } from "../core/operators.js";
import { LEFT } from "./map_margins.js";
import { view } from "./view.js";

export const STRIP = 46;
export const TOP = 22;
const DIMMED = 31;
const FAILED = 89;

/** Draw the strip and the cells, from a copy if nothing but the selection has changed. */
export function paintGrid(context, width, grid, ink, spotlight) {
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

/** Frames around the selected columns and the cell at the cursor. */
export function paintSelection(context, grid, ink, cursor) {
  const tall = grid.sites.length * grid.rowHeight;
  context.lineWidth = 2;
  if (view.selected.size) grid.columns ??= new Map(grid.trials.map((trial, at) => [trial.key, at]));
  context.strokeStyle = ink.ink;
  for (const key of view.selected) {
    const at = grid.columns.get(key);
    if (at !== undefined) context.strokeRect(LEFT + at * grid.columnWidth - 1, TOP + STRIP - 2, Math.max(2, grid.columnWidth + 1), tall + 3);
  }
  if (cursor && cursor.column >= 0) {
    context.strokeStyle = ink.accent;
    context.strokeRect(LEFT + cursor.column * grid.columnWidth - 1, TOP + STRIP + cursor.row * grid.rowHeight - 1, Math.max(3, grid.columnWidth + 1), grid.rowHeight + 1);
  }
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

/** Cells; where columns are narrower than a pixel, each pixel shows the operator that most of its trials have. */
function paintCells(context, grid, spotlight) {
  const { count, width } = pixels(grid);
  const gap = width > 6 ? 1 : 0;
  const tall = grid.rowHeight - (grid.rowHeight > 10 ? 1 : 0);
  const cells = new OffscreenCanvas(count, grid.cells.length);
  const image = new ImageData(count, grid.cells.length);
  const colours = grid.names.map((name) => [...operatorColour(name), spotlight && spotlight !== name ? DIMMED : 255]);
  grid.cells.forEach((row, at) => {
    for (let column = 0; column < count; column += 1) {
      const [from, to] = span(grid, column, count);
      const code = commonest(row, from, to, grid.names.length);
      if (code < 0) continue;
      const colour = colours[code];
      const place = 4 * (at * count + column);
      image.data.set(colour, place);
      if (to - from === 1 && grid.trials[from].state === "failed") image.data[place + 3] = Math.min(colour[3], FAILED);
    }
  });
  cells.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  grid.cells.forEach((_, at) => context.drawImage(cells, 0, at, count, 1, LEFT, TOP + STRIP + at * grid.rowHeight, count * width, tall));
  if (gap) for (let column = 1; column <= count; column += 1) context.clearRect(LEFT + column * width - gap, TOP + STRIP, gap, grid.cells.length * grid.rowHeight);
}

let counts = new Uint32Array(0); // kept, because a new one for each cell would keep the garbage collector busy

function commonest(cells, from, to, names) {
  if (to - from === 1) return cells[from];
  if (counts.length < names) counts = new Uint32Array(names);
  counts.fill(0);
  let best = -1;
  for (let at = from; at < to; at += 1) {
    const code = cells[at];
    if (code >= 0 && (counts[code] += 1) > (best < 0 ? 0 : counts[best])) best = code;
  }
  return best;
}
