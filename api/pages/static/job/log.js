// What the job said: notes, stages, lost workers. Newest at the end, as it happened.
import { ROOT } from "../core/api.js";
import { h, keyed, setText } from "../core/dom.js";
import { moment } from "../core/format.js";
import { stageLabel } from "../core/states.js";

const MOST_SHOWN = 200;

/** The panel of messages. */
export function logPanel(model) {
  const list = h("ol", { class: "log" });
  const none = h("p", { class: "muted" }, "Nothing yet.");
  const node = h(
    "section",
    { class: "card", "aria-labelledby": "log" },
    h("header", {}, h("h2", { id: "log" }, "Log"), h("span", { class: "end" }, h("a", { href: `${ROOT}/v1/jobs/${model.id}/events` }, "all events"))),
    h("div", { class: "log-box", tabindex: "0", role: "log", "aria-label": "Messages of the job" }, none, list),
  );
  return {
    node,
    update() {
      none.hidden = model.messages.length > 0;
      keyed(list, model.messages.slice(-MOST_SHOWN), (event) => event.number, entry);
    },
  };
}

function entry(event) {
  const text = h("span");
  setText(text, messageOf(event));
  const level = event.kind === "worker_lost" ? "warning" : (event.data.level ?? "info");
  return { node: h("li", { "data-level": level }, h("time", { datetime: event.at, title: moment(event.at) }, new Date(event.at).toLocaleTimeString()), text) };
}

function messageOf({ kind, data }) {
  if (kind === "note") return data.message;
  if (kind === "stage_done") return `${stageLabel(data.stage)}: ${data.summary}${data.recalled ? ` (reused from ${data.recalled})` : ""}`;
  if (kind === "worker_lost") return `A worker was lost${data.stage ? ` in ${stageLabel(data.stage).toLowerCase()}` : ""}; its work is repeated.`;
  return kind;
}
