// Learning curves: of the best trials, or of the selected ones, fetched only when this panel is seen.
import { chart, plain } from "../chart/plotly.js";
import { get } from "../core/api.js";
import { h, setText } from "../core/dom.js";
import { stageLabel } from "../core/states.js";
import { view } from "./view.js";

const BEST = 5;
const HEIGHT = 330;

/** The panel of learning curves. */
export function curvesPanel(model) {
  const known = new Map();
  let lines = [];
  const hint = h("span", { class: "hint" });
  const drawing = chart({ label: "Learning curves", height: HEIGHT, figure: () => figure(lines) });
  const node = h("section", { class: "card", "aria-labelledby": "curves", hidden: true }, h("header", {}, h("h2", { id: "curves" }, "Learning curves"), hint), drawing.node);
  let wanted = "";

  async function fetchCurves(trials) {
    await Promise.all(
      trials.map(async (trial) => {
        const mark = `${trial.key}|${trial.state}`;
        if (known.get(trial.key)?.mark === mark) return;
        const found = await get(`/v1/jobs/${model.id}/trials/${trial.stage}/${trial.number}/curve`);
        known.set(trial.key, { mark, epochs: found.epochs });
      }),
    );
    lines = trials.map((trial) => ({ trial, epochs: known.get(trial.key)?.epochs ?? [] }));
    drawing.redraw();
  }

  const see = (entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    node.dataset.seen = "yes";
    update();
  };
  new IntersectionObserver(see, { rootMargin: "300px" }).observe(node);

  function update() {
    const trials = chosenTrials(model);
    node.hidden = trials.length === 0;
    setText(hint, view.selected.size ? "the selected trials" : `the ${trials.length} best trials; select others anywhere on this page`);
    const key = trials.map((trial) => `${trial.key}|${trial.state}`).join();
    if (!node.dataset.seen || key === wanted) return;
    wanted = key;
    fetchCurves(trials).catch(() => (wanted = ""));
  }

  return { node, update };
}

function chosenTrials(model) {
  if (view.selected.size) return [...view.selected].map((key) => model.trials.get(key)).filter((trial) => trial && trial.state !== "running");
  return model.ranked.slice(0, BEST);
}

function figure(lines) {
  return {
    data: lines.map(({ trial, epochs }) => ({
      x: epochs.map((one) => one.epoch),
      y: epochs.map((one) => one.validation_accuracy),
      name: plain(`${stageLabel(trial.stage)} ${trial.number}`),
      mode: epochs.length > 40 ? "lines" : "lines+markers",
      marker: { size: 5 },
      hovertemplate: `epoch %{x}: %{y:.1%}<extra>${plain(trial.number)}</extra>`,
    })),
    layout: { xaxis: { title: { text: "epoch" }, rangemode: "tozero" }, yaxis: { tickformat: ".0%", title: { text: "validation accuracy" } }, showlegend: true },
  };
}
