// Layer by layer: density, operations, dead neurons and gradients, before and after the search.
import { chart, plain } from "../chart/plotly.js";
import { h, setAttribute } from "../core/dom.js";

const HEIGHT = 330;
const MEASURES = {
  density: { label: "Density", part: "layers", value: (one) => one.live / one.weights, format: ".0%", title: "live weights" },
  operations: { label: "Operations", part: "layers", value: (one) => one.flops_sparse, format: "~s", title: "FLOPs of live weights" },
  dead: { label: "Dead neurons", part: "sites", value: (one) => one.dead_static + one.dead_dynamic, format: ".0%", title: "dead neurons" },
  gradient: { label: "Gradient flow", part: "layers", value: (one) => one.gradient_norm || null, format: "~g", title: "norm of the gradient", log: true },
};

/** The panel of measurements by layer, for jobs whose report has them. */
export function layersPanel(model) {
  let shown = "dead";
  const drawing = chart({ label: "Measurements by layer", height: HEIGHT, figure: (ink) => figure(model.report, MEASURES[shown], ink) });
  const buttons = Object.entries(MEASURES).map(([name, measure]) => h("button", { type: "button", "aria-pressed": "false", onclick: () => choose(name) }, measure.label));
  const node = h("section", { class: "card", "aria-labelledby": "layers", hidden: true }, h("header", {}, h("h2", { id: "layers" }, "Layers"), h("span", { class: "end" }, ...buttons)), drawing.node);
  let drawn = null;

  function choose(name) {
    shown = name;
    Object.keys(MEASURES).forEach((one, at) => setAttribute(buttons[at], "aria-pressed", String(one === shown)));
    drawing.redraw();
  }

  return {
    node,
    update() {
      node.hidden = !model.report?.layers;
      if (node.hidden || drawn === model.report) return;
      drawn = model.report;
      choose(shown);
    },
  };
}

function figure(report, measure, ink) {
  const labels = new Map(report.rows.map((row) => [row.name, row.label]));
  const colours = { dense: ink.series[0], pruned: ink.series[1], default: ink.muted, [report.result]: ink.series[2] };
  const names = Object.keys(colours).filter((name) => name in report.layers && (measure.part === "layers" || name !== "dense" || measure.label === "Dead neurons"));
  const places = report.layers[report.result][measure.part].map((one) => (one.name ?? one.path).replace(/\.weight$/, ""));
  return {
    data: names.map((name) => ({
      x: places.map((_, at) => at),
      y: report.layers[name][measure.part].map(measure.value),
      name: plain(labels.get(name)),
      mode: "lines+markers",
      line: { color: colours[name], width: name === report.result ? 3 : 1.6, dash: name === "dense" ? "dot" : "solid" },
      hovertemplate: `%{text}: %{y:${measure.format}}<extra>${plain(labels.get(name))}</extra>`,
      text: places.map(plain),
    })),
    layout: {
      xaxis: { tickmode: "array", tickvals: places.map((_, at) => at), ticktext: places.map(plain), tickangle: places.length > 6 ? -35 : 0, nticks: 20 },
      yaxis: { tickformat: measure.format, title: { text: measure.title }, type: measure.log ? "log" : "linear", rangemode: "tozero" },
    },
  };
}
