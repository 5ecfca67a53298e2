// How states of jobs and trials look, and the names of stages.
import { h, setAttribute, setText } from "./dom.js";

const MARKS = {
  queued: "○",
  running: "◔",
  cancelling: "◌",
  cancelled: "⊘",
  succeeded: "✓",
  failed: "✕",
  done: "✓",
  interrupted: "⊘",
  idle: "○",
  busy: "◔",
  lost: "✕",
};
export const STATES = ["queued", "running", "cancelling", "succeeded", "failed", "cancelled"];
export const FINAL = new Set(["succeeded", "failed", "cancelled"]);
export const STAGES = ["dense", "prune_search", "prune", "activations", "tune", "tune_alone", "joint", "final", "front", "report"];
export const SEARCHES = ["prune_search", "activations", "tune", "tune_alone", "joint"];
const STAGE_LABELS = {
  dense: "Dense training",
  prune_search: "Search for a pruning",
  prune: "Pruning",
  activations: "Activation search",
  tune: "Tuning",
  tune_alone: "Tuning alone",
  joint: "Joint search",
  final: "Final trainings",
  front: "Other sparsities",
  report: "Report",
};

/** A stage as people call it. */
export function stageLabel(stage) {
  return STAGE_LABELS[stage] ?? stage ?? "";
}

/** A badge that shows a state by word, mark and colour; `update(state)` changes it. */
export function badge(state) {
  const mark = h("span", { "aria-hidden": "true" });
  const word = h("span");
  const node = h("span", { class: "badge" }, mark, word);
  const update = (now) => {
    setAttribute(node, "data-state", now);
    setText(mark, MARKS[now] ?? "");
    setText(word, now);
  };
  update(state);
  return { node, update };
}

/** A bar of progress; `update(fraction, label)` changes it. */
export function progressBar(label) {
  const bar = h("span", { class: "bar-fill" });
  const node = h("span", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": label }, bar);
  const update = (fraction) => {
    const value = Math.round(100 * (fraction ?? 0));
    setAttribute(node, "aria-valuenow", value);
    bar.style.width = `${value}%`;
  };
  return { node, update };
}
