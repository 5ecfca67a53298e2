// Sizes and milliseconds of the result, from the report's section on deployment.
import { ROOT } from "../core/api.js";
import { h, fill } from "../core/dom.js";
import { bytes, count, percent, sparsity } from "../core/format.js";

/** The panel of sizes and times, for jobs whose report has them. */
export function deployedPanel(model) {
  const notes = h("div");
  const body = h("div", { class: "pair" });
  const node = h("section", { class: "card wide", "aria-labelledby": "deployed", hidden: true }, h("header", {}, h("h2", { id: "deployed" }, "Size and speed"), h("span", { class: "hint" }, "the result as it leaves")), notes, body);
  let drawn = null;
  return {
    node,
    update() {
      const found = model.report?.deploy;
      node.hidden = !found;
      if (!found || drawn === found) return;
      drawn = found;
      fill(notes, targetLine(model.report.target), found.error ? h("p", { class: "note warning" }, found.error) : null);
      fill(body, sizes(model.id, found), ...times(found));
    },
  };
}

/** The target of the job, and the cost that was measured; null if it has none. */
function targetLine(target) {
  if (!target) return null;
  const told = (cost) => (cost === null ? "nothing" : target.measure === "bytes" ? count(Math.round(cost)) : String(Number(cost.toPrecision(3))));
  const first = target.prunings?.[0];
  const corrected = first && first.sparsity !== target.sparsity ? `; corrected from ${sparsity(first.sparsity)}, where it was ${told(first.measured)}` : "";
  return h("p", { class: target.reached ? "note" : "note warning" }, `Target ${target.measure} ${told(target.asked)}: ${told(target.measured)} measured${target.cpu ? ` on ${target.cpu}` : ""}, ${told(target.estimated)} estimated at sparsity ${sparsity(target.sparsity)}${corrected}.`);
}

function sizes(jobId, found) {
  const share = (size) => percent(size / found.checkpoint_bytes);
  const rows = [
    [h("span", {}, "checkpoint.safetensors"), bytes(found.checkpoint_bytes), share(found.checkpoint_bytes), ""],
    ...found.formats.map((one) => [exported(jobId, one.format), bytes(one.size_bytes), one.error ?? share(one.size_bytes), agreement(one.equality)]),
  ];
  if (found.bound_bytes) rows.push([h("span", { class: "muted" }, "bound by entropy"), bytes(found.bound_bytes), share(found.bound_bytes), ""]);
  return table("Sizes by format", ["Format", "Size", "Of the checkpoint", "Same predictions"], rows);
}

/** A link that makes the file at its first use; a report in a file has no service to ask. */
function exported(jobId, format) {
  if (document.documentElement.dataset.embedded !== undefined) return h("span", {}, format);
  return h("a", { href: `${ROOT}/v1/jobs/${jobId}/exports/${encodeURIComponent(format)}`, download: "", title: `Download the result as ${format}` }, format);
}

function agreement(equality) {
  return equality ? `${count(equality.equal_predictions)} of ${count(equality.images)}` : "";
}

function times(found) {
  if (!found.times.length) return [];
  const rows = found.times.map((one) => [h("span", {}, count(one.batch)), milliseconds(one.dense_ms), milliseconds(one.sparse_ms), `${(one.dense_ms / one.sparse_ms).toFixed(2)} ×`, agreement(one.equality)]);
  const measured = `Measured on ${found.cpu} with ${count(found.threads)} thread${found.threads === 1 ? "" : "s"}.`;
  return [h("div", {}, table("Milliseconds by batch", ["Batch", "PyTorch", "Sparse runtime", "Speed", "Same predictions"], rows), h("p", { class: "muted" }, measured))];
}

function milliseconds(value) {
  return `${value.toPrecision(3)} ms`;
}

function table(label, heads, rows) {
  return h(
    "div",
    { class: "scroll flat", tabindex: "0", role: "region", "aria-label": label },
    h("table", { class: "grid small" }, h("thead", {}, h("tr", {}, ...heads.map((head, at) => h("th", { scope: "col", class: at ? "number" : null }, head)))), h("tbody", {}, ...rows.map(([first, ...others]) => h("tr", {}, h("th", { scope: "row" }, first), ...others.map((one) => h("td", { class: "number" }, one)))))),
  );
}
