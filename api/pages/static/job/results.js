// The comparison of a finished job, and its files.
import { request, ROOT } from "../core/api.js";
import { fill, h, show } from "../core/dom.js";
import { bytes, count, percent, points, sparsity } from "../core/format.js";

const FILES = { checkpoint: "checkpoint.safetensors", config: "config.json", report: "report.json", picture: "report.png" };

/** The table of results. */
export function resultsPanel(model) {
  const body = h("tbody");
  const heads = ["Network", "Validation", "Test", "Against default", "Sparsity", "Live weights"];
  const table = h("table", { class: "grid" }, h("thead", {}, h("tr", {}, ...heads.map((name, at) => h("th", { scope: "col", class: at ? "number" : null }, name)))), body);
  const node = h("section", { class: "card wide", "aria-labelledby": "results", hidden: true }, h("header", {}, h("h2", { id: "results" }, "Results")), h("div", { class: "scroll flat", tabindex: "0", role: "region", "aria-label": "Results" }, table));
  let drawn = null;
  return {
    node,
    update() {
      const { report } = model;
      show(node, report !== null);
      if (report === null || drawn === report) return;
      drawn = report;
      const standard = report.rows.find((row) => row.name === "default");
      fill(body, ...report.rows.map((row) => resultRow(row, standard, row.name === report.result)));
    },
  };
}

function resultRow(row, standard, isResult) {
  const compared = standard && !["dense", "pruned", "default"].includes(row.name);
  const gain = compared ? (row.test_accuracy ?? row.validation_accuracy) - (standard.test_accuracy ?? standard.validation_accuracy) : null;
  return h(
    "tr",
    { class: isResult ? "result" : null },
    h("th", { scope: "row" }, row.label, isResult ? h("span", { class: "badge", "data-state": "succeeded" }, "result") : null),
    h("td", { class: "number" }, percent(row.validation_accuracy)),
    h("td", { class: "number" }, percent(row.test_accuracy)),
    h("td", { class: `number ${gain > 0 ? "good" : gain < 0 ? "bad" : ""}` }, points(gain)),
    h("td", { class: "number" }, sparsity(row.sparsity)),
    h("td", { class: "number" }, `${count(row.live_weights)} of ${count(row.weights)}`),
  );
}

/** The files of the result with their sizes and hashes. */
export function downloadsPanel(model) {
  const list = h("ul", { class: "files" });
  const node = h("section", { class: "card", "aria-labelledby": "files", hidden: true }, h("header", {}, h("h2", { id: "files" }, "Files")), list, h("pre", {}, `safs download ${model.id}`));
  let drawn = false;
  return {
    node,
    update() {
      const ready = model.job.state === "succeeded";
      show(node, ready);
      if (!ready || drawn) return;
      drawn = true;
      const page = `/v1/jobs/${model.id}/report.html`;
      fill(list, ...Object.entries(FILES).filter(([name]) => name in model.job.links).map(([name, file]) => fileLine(model.job.links[name], file)), h("li", {}, h("a", { href: ROOT + page, download: "report.html" }, "report.html"), h("span", { class: "muted" }, "this page as one file, to share")));
    },
  };
}

/** A link of the API names the prefix of a proxy already; requests add it themselves. */
function fileLine(address, file) {
  const facts = h("span", { class: "muted mono" });
  headers(address.slice(ROOT.length)).then(({ size, hash }) => {
    fill(facts, size === null ? "" : `${bytes(size)} · `, hash ? h("span", { title: `sha256 ${hash}` }, `sha256 ${hash.slice(0, 12)}…`) : "", hash ? copyButton(hash) : "");
  }, () => fill(facts, "not available"));
  return h("li", {}, h("a", { href: address, download: file }, file), facts);
}

/** Size and hash of a file, from a request for its first byte. */
async function headers(path) {
  const answer = await request(path, { headers: { Range: "bytes=0-0" } });
  const size = answer.headers.get("content-range")?.split("/").at(-1);
  return { size: size ? Number(size) : null, hash: (answer.headers.get("etag") ?? "").replaceAll('"', "") };
}

/** A button that copies a text. */
export function copyButton(text, label = "Copy") {
  const button = h("button", { type: "button", class: "quiet small", onclick: copy }, label);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Press Ctrl+C";
      const range = document.createRange();
      range.selectNodeContents(button.previousElementSibling ?? button);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
    }
    setTimeout(() => (button.textContent = label), 2000);
  }
  return button;
}
