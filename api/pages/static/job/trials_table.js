// The table of trials: sorted and paged in the browser, since all trials are known here.
import { h, keyed, setAttribute, setText, show } from "../core/dom.js";
import { duration, percent, short } from "../core/format.js";
import { badge, stageLabel } from "../core/states.js";
import { byRank, isRanked } from "./trials.js";
import { toggle, view } from "./view.js";

const PAGE_SIZE = 25;
const ORDERS = {
  best: { label: "Best first", sort: (one, other) => isRanked(other) - isRanked(one) || byRank(one, other) },
  newest: { label: "Newest first", sort: (one, other) => other.started - one.started || other.number - one.number },
  oldest: { label: "Oldest first", sort: (one, other) => one.started - other.started || one.number - other.number },
  slowest: { label: "Slowest first", sort: (one, other) => (other.seconds ?? -1) - (one.seconds ?? -1) },
};
const SHOWN_STATES = ["any state", "done", "failed", "running", "interrupted", "stopped early"];

/** The panel with all trials that the chosen stage lets through. */
export function trialsPanel(model) {
  let page = 0;
  const order = select("Order of trials", Object.entries(ORDERS).map(([value, { label }]) => [value, label]), () => turn(-page));
  const state = select("State of trials", SHOWN_STATES.map((name) => [name, name]), () => turn(-page));
  const body = h("tbody");
  const range = h("span", { class: "muted", role: "status" });
  const back = h("button", { type: "button", onclick: () => turn(-1), "aria-label": "Previous trials" }, "←");
  const on = h("button", { type: "button", onclick: () => turn(1), "aria-label": "Next trials" }, "→");
  const heads = [["", ""], ["Trial", ""], ["State", ""], ["Accuracy", "number"], ["Epochs", "number"], ["Time", "number"], ["Operators", ""], ["Recipe", ""], ["Remark", ""]];
  const table = h("table", { class: "grid small" }, h("thead", {}, h("tr", {}, ...heads.map(([name, kind]) => h("th", { scope: "col", class: kind }, name || h("span", { class: "hidden-text" }, "Selected"))))), body);
  const node = h(
    "section",
    { class: "card wide", "aria-labelledby": "trials" },
    h("header", {}, h("h2", { id: "trials" }, "Trials"), h("span", { class: "end" }, state, order)),
    h("div", { class: "scroll flat", tabindex: "0", role: "region", "aria-label": "Table of trials" }, table),
    h("div", { class: "pager" }, back, range, on),
  );
  let sorted = [];
  let seen = "";

  function turn(by) {
    page += by;
    draw();
  }

  function draw() {
    const pages = Math.max(1, Math.ceil(sorted.length / PAGE_SIZE));
    page = Math.max(0, Math.min(page, pages - 1));
    const wanted = `${model.trials.version}|${view.stage}|${order.value}|${state.value}`;
    if (seen !== wanted) sorted = [...model.shown].filter(fits).sort(ORDERS[order.value].sort);
    seen = wanted;
    const shown = sorted.slice(page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
    keyed(body, shown, (trial) => trial.key, trialRow);
    setText(range, sorted.length ? `${page * PAGE_SIZE + 1} to ${page * PAGE_SIZE + shown.length} of ${sorted.length.toLocaleString("en-US")}` : "none");
    setAttribute(back, "disabled", page === 0);
    setAttribute(on, "disabled", (page + 1) * PAGE_SIZE >= sorted.length);
  }

  function fits(trial) {
    if (state.value === "any state") return true;
    return state.value === "stopped early" ? Boolean(trial.left) : trial.state === state.value;
  }

  return { node, update: draw };
}

function trialRow(trial) {
  const box = h("input", { type: "checkbox", "aria-label": `Select trial ${trial.number} of ${stageLabel(trial.stage)}`, onchange: () => toggle(trial.key) });
  const state = badge(trial.state);
  const cells = { accuracy: h("td", { class: "number" }), epochs: h("td", { class: "number" }), time: h("td", { class: "number" }), remark: h("td", { class: "remark" }) };
  const remark = h("span");
  cells.remark.append(remark);
  const node = h(
    "tr",
    {},
    h("td", { class: "choose" }, box),
    h("th", { scope: "row" }, `${stageLabel(trial.stage)} ${trial.number}`),
    h("td", {}, state.node),
    cells.accuracy,
    cells.epochs,
    cells.time,
    h("td", { class: "config" }, operatorsText(trial.sites)),
    h("td", { class: "config" }, recipeText(trial.recipe)),
    cells.remark,
  );
  function update(now) {
    box.checked = view.selected.has(now.key);
    state.update(now.state);
    setText(cells.accuracy, percent(now.accuracy, 2));
    setText(cells.epochs, now.epochs);
    setText(cells.time, duration(now.seconds));
    setText(remark, now.error ?? now.left ?? (now.recalled ? `reused from ${now.recalled}` : now.continues === null || now.continues === undefined ? "" : `continues ${now.continues}`));
    show(remark, remark.textContent !== "");
  }
  update(trial);
  return { node, update };
}

function operatorsText(sites) {
  return Object.values(sites).join(" ");
}

function recipeText(recipe) {
  return Object.entries(recipe).map(([name, value]) => `${name} ${typeof value === "number" ? short(value) : value}`).join(", ");
}

function select(label, options, onchange) {
  return h("select", { "aria-label": label, onchange }, ...options.map(([value, text]) => h("option", { value }, text)));
}
