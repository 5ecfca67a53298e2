// Where inputs were removed: the pixels or channels that the network still reads.
import { inks, picture } from "../chart/canvas.js";
import { h } from "../core/dom.js";
import { count } from "../core/format.js";

const SIDE = 220;

/** The panel of kept inputs, for jobs that removed some. */
export function keptInputsPanel(model) {
  const drawing = picture({ label: "Pixels that the network reads", height: SIDE, draw: (context, width) => paint(context, width, model.report?.inputs) });
  const words = h("p", { class: "muted" });
  const node = h("section", { class: "card", "aria-labelledby": "inputs", hidden: true }, h("header", {}, h("h2", { id: "inputs" }, "Kept inputs")), drawing.node, words);
  return {
    node,
    update() {
      const inputs = model.report?.inputs;
      node.hidden = !inputs;
      if (node.hidden) return;
      const channels = inputs.kind === "pixel" && inputs.channels > 1 ? `; the darker, the more of their ${inputs.channels} channels` : "";
      words.textContent = `${count(inputs.kept.length)} of ${count(total(inputs))} ${inputs.kind}s are read${channels}.`;
      drawing.redraw();
    },
  };
}

function total(inputs) {
  return inputs.kind === "channel" ? inputs.channels : inputs.channels * inputs.image_size ** 2;
}

function paint(context, width, inputs) {
  if (!inputs) return;
  const ink = inks();
  const isPixel = inputs.kind === "pixel";
  const columns = isPixel ? inputs.image_size : inputs.channels;
  const rows = isPixel ? inputs.image_size : 1;
  const layers = isPixel ? inputs.channels : 1;
  const counts = new Array(rows * columns).fill(0);
  for (const index of inputs.kept) counts[index % (rows * columns)] += 1;
  const cell = Math.min(SIDE / rows, width / columns);
  counts.forEach((kept, at) => {
    context.fillStyle = kept ? ink.point : ink.raised;
    context.globalAlpha = kept ? 0.35 + (0.65 * kept) / layers : 1;
    context.fillRect((at % columns) * cell, Math.floor(at / columns) * cell, cell - 0.5, cell - 0.5);
  });
  context.globalAlpha = 1;
}
