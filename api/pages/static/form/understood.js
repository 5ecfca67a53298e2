// What the service understood of the job: numbers, the layers and sites of the network, and images of the user's data.
import { fill, h } from "../core/dom.js";
import { count, short } from "../core/format.js";

const MOST_CLASSES = 12;

/** The panel; `update(check, isOwnNetwork)` shows the result of a check. */
export function understoodPanel() {
  const facts = h("dl");
  const notes = h("div");
  const network = h("details", { class: "network" });
  const data = h("div");
  const node = h("div", { class: "understood", hidden: true }, facts, notes, network, data);
  let opened = "";

  function update(check, ownNetwork) {
    node.hidden = false;
    const values = {
      Input: `${check.channels} × ${check.image_size} × ${check.image_size}, ${count(check.classes)} classes`,
      Images: `${count(check.train)} train, ${count(check.validation)} validation, ${count(check.test)} test`,
      Weights: `${check.spec.target ? "about " : ""}${count(check.live)} of ${count(check.weights)} stay`,
      Operators: check.operators.join(", "),
    };
    fill(facts, ...pairs(values));
    fill(notes, ...[...check.notes, ...(check.data?.warnings ?? [])].map((note) => h("p", { class: "note warning" }, note)));
    fill(network, h("summary", {}, `${count(check.layers.length)} layers, ${count(check.sites.length)} sites`), ...networkTables(check));
    if (ownNetwork && opened !== ownNetwork) network.open = true; // once: the reader may close it
    opened = ownNetwork;
    fill(data, ...(check.data === null ? [] : dataParts(check.data)));
  }

  return { node, update };
}

function networkTables(check) {
  return [
    table("Layers, whose weights are pruned", ["Layer", "Shape", "Weights"], check.layers.map(({ name, shape }) => [name, shape.join(" × "), count(shape.reduce((all, one) => all * one, 1))])),
    table("Sites, in the order of their calls", ["Site", "Own operator"], check.sites.map(({ path, own }) => [path, own])),
  ];
}

function table(caption, heads, rows) {
  return h(
    "div",
    { class: "scroll flat small-table", tabindex: "0", role: "region", "aria-label": caption },
    h("table", { class: "grid" }, h("caption", {}, caption), h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, ...rows.map(([first, ...others]) => h("tr", {}, h("th", { scope: "row" }, first), ...others.map((one) => h("td", {}, one)))))),
  );
}

function dataParts(data) {
  const tested = data.test_images === null ? "the test images are taken from them" : `${count(data.test_images)} test images`;
  const values = {
    Data: `${count(data.images)} images of ${data.width} × ${data.height}, ${data.channels === 1 ? "1 channel" : `${data.channels} channels`}; ${tested}`,
    Values: `${data.values} from ${short(data.low)} to ${short(data.high)}, mean ${short(data.mean)}, deviation ${short(data.std)}`,
    Classes: classesText(data.classes),
  };
  return [h("dl", {}, ...pairs(values)), sampleGrid(data.samples)];
}

function classesText(classes) {
  const listed = classes.slice(0, MOST_CLASSES).map(({ name, train }) => `${name} (${count(train)})`);
  return listed.join(", ") + (classes.length > MOST_CLASSES ? ` and ${count(classes.length - MOST_CLASSES)} more` : "");
}

function sampleGrid(samples) {
  const figures = samples.map(({ class_name: name, png }) => h("li", {}, h("img", { src: `data:image/png;base64,${png}`, alt: `an image of ${name}`, title: name }), h("span", {}, name)));
  return h("ul", { class: "samples", "aria-label": "Images of the training data" }, ...figures);
}

function pairs(values) {
  return Object.entries(values).flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]);
}
