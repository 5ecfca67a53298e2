// The stages of a job as steps.
import { h, keyed, setAttribute, setText } from "../core/dom.js";
import { duration } from "../core/format.js";
import { stageLabel } from "../core/states.js";
import { setView, view } from "./view.js";

/** The stages that a job runs, in order, as its final candidates need them. */
export function plannedStages(spec) {
  const wanted = new Set(spec.final.candidates);
  const needed = {
    dense: true,
    prune_search: Boolean(spec.prune.search),
    prune: true,
    activations: wanted.has("safs") || wanted.has("activations"),
    tune: wanted.has("safs"),
    tune_alone: wanted.has("hyperparameters"),
    joint: wanted.has("joint"),
    final: true,
    front: Boolean(spec.front),
    report: true,
  };
  return Object.keys(needed).filter((stage) => needed[stage]);
}

/** The steps, and a button for each search that shows its trials alone. */
export function stagesPanel(model) {
  const list = h("ol", { class: "steps" });
  const tabs = h("div", { class: "tabs", role: "group", "aria-label": "Trials of" });
  const node = h("section", { "aria-label": "Stages" }, list, tabs);
  return {
    node,
    update() {
      keyed(list, plannedStages(model.job.spec), (stage) => stage, (stage) => step(model, stage));
      const searches = model.searches;
      tabs.hidden = searches.length < 2;
      keyed(tabs, ["", ...searches], (stage) => stage, tab);
    },
  };
}

function tab(stage) {
  const node = h("button", { type: "button", onclick: () => setView({ stage }) }, stage ? stageLabel(stage) : "All searches");
  return { node, update: () => setAttribute(node, "aria-pressed", String(view.stage === stage)) };
}

function step(model, stage) {
  const label = h("strong", {}, stageLabel(stage));
  const detail = h("span", { class: "muted" });
  const node = h("li", {}, h("span", { class: "mark", "aria-hidden": "true" }), h("span", { class: "step-text" }, label, detail));
  function update() {
    const known = model.stages.get(stage);
    const current = model.job.stage === stage && !model.isFinal;
    const failed = model.job.error?.stage === stage;
    const state = failed ? "failed" : known?.done ? "done" : current ? "now" : model.isFinal ? "skipped" : "ahead";
    setAttribute(node, "data-state", state);
    setAttribute(node, "aria-current", current ? "step" : null);
    setText(detail, detailOf(model, stage, known, current));
    setAttribute(node, "title", known?.summary);
  }
  return { node, update };
}

function detailOf(model, stage, known, current) {
  const reused = model.job.reused?.[stage];
  if (known?.done) return reused ? "reused" : duration(known.seconds);
  const progress = model.job.progress;
  if (!current || !progress) return "";
  if (!progress.trials) return "running";
  return progress.trials === 1 ? `epoch ${progress.epochs_done} of ${progress.epochs}` : `${progress.trials_done} of ${progress.trials} trials`;
}
