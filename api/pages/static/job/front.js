// The points of a job with several sparsities, with the files of each.
import { ROOT } from "../core/api.js";
import { fill, h, show } from "../core/dom.js";
import { bytes, count, percent, sparsity } from "../core/format.js";

const FILES = { checkpoint: "checkpoint.safetensors", config: "config.json" };
const HEADS = ["Sparsity", "Validation", "Test", "Live weights", "Smallest file", "Files"];

/** The table of points; hidden for a job with one sparsity. */
export function frontPanel(model) {
  const body = h("tbody");
  const table = h("table", { class: "grid" }, h("thead", {}, h("tr", {}, ...HEADS.map((name, at) => h("th", { scope: "col", class: at ? "number" : null }, name)))), body);
  const node = h("section", { class: "card wide", "aria-labelledby": "front", hidden: true }, h("header", {}, h("h2", { id: "front" }, "Sparsities")), h("div", { class: "scroll flat", tabindex: "0", role: "region", "aria-label": "Sparsities" }, table));
  let drawn = null;
  return {
    node,
    update() {
      const { report } = model;
      show(node, Boolean(report?.front));
      if (!report?.front || drawn === report) return;
      drawn = report;
      fill(body, ...report.front.map((point) => pointRow(model, point)));
    },
  };
}

/** The page as a file has no links to files of the job. */
function pointRow({ id, job }, point) {
  const parts = Object.entries(FILES).filter(([part]) => part in job.links);
  const link = (part, file) => [h("a", { href: `${ROOT}/v1/jobs/${id}/${part}?sparsity=${point.sparsity}`, download: file }, part.replace("exports/", "")), " "];
  const files = parts.flatMap(([part, file]) => link(part, file));
  if (parts.length) files.push(...(point.deploy?.formats ?? []).filter((one) => one.error === null).flatMap((one) => link(`exports/${one.format}`, "")));
  return h(
    "tr",
    { class: point.recommended ? "result" : null },
    h("th", { scope: "row" }, sparsity(point.sparsity), point.recommended ? h("span", { class: "badge", "data-state": "succeeded" }, "recommended") : null),
    h("td", { class: "number" }, percent(point.validation_accuracy)),
    h("td", { class: "number" }, percent(point.test_accuracy)),
    h("td", { class: "number" }, count(point.live)),
    h("td", { class: "number" }, bytes(point.size_bytes)),
    h("td", { class: "number" }, ...files),
  );
}
