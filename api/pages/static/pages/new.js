// The form of a new job: few fields first, all others behind a fold; checked while one types.
import { get, post, Problem, ROOT } from "../core/api.js";
import { fill, h, setAttribute, setText, show } from "../core/dom.js";
import { main } from "../core/frame.js";
import { count, duration } from "../core/format.js";
import { checker } from "../form/check.js";
import { control } from "../form/field.js";
import { readFields } from "../form/schema.js";
import { sparsityControl } from "../form/sparsity.js";
import { toCurl, toPairs, toPython, toSpec, toYaml, valueAt } from "../form/spec.js";
import { understoodPanel } from "../form/understood.js";
import { uploadControl } from "../form/upload.js";
import { copyButton } from "../job/results.js";

/** Fields that stand in one cell of the form, with the files that can take their place. */
const CELLS = [["name"], ["preset"], ["model.architecture"], ["data.dataset", "data.path"], ["sparsity"]];
const FIRST = CELLS.flat();
const FIRST_JOB = { model: { architecture: "lenet5" }, data: { dataset: "digits" }, sparsity: 0.99, preset: "quick" };
const WITH_PATH = new Set(["image_folder", "npz"]);
const FORMS = { YAML: (spec) => toYaml(spec), curl: (spec) => toCurl(spec, origin()), Python: (spec) => toPython(spec, origin()) };

/** Files that can be given: beside which field they stand, and which fields of the job they change. */
const FILES = {
  "model.architecture": [
    { id: "file-network", label: "or your own network (file)", accept: ".safetensors", help: "A file that safs.capture wrote, with the network and its weights.", names: "model.network", clears: ["model.architecture", "model.weights"], sets: {} },
    { id: "file-weights", label: "dense weights (file)", accept: ".safetensors", help: "A safetensors file with the state dict of the named network. Without it, the dense network is trained first.", names: "model.weights", clears: ["model.network"], sets: {} },
  ],
  "data.dataset": [{ id: "file-data", label: "or your own data (file)", accept: ".npz,.zip,.tar,.tgz,.gz", help: "Arrays x and y in an .npz, or pictures in a .zip, .tar or .tar.gz with one folder for each class.", names: "data.upload", clears: ["data.path"], sets: { "data.dataset": "upload" } }],
};

const controls = new Map();
const files = new Map();
const refusal = h("p", { class: "note error", role: "alert", hidden: true });
const understood = understoodPanel();
const estimate = h("p", { class: "estimate", role: "status" });
const submit = h("button", { type: "submit", class: "primary big" }, "Start job");
const code = h("pre", { class: "code", tabindex: "0" });
const copied = h("span");
let shownForm = "YAML";
const key = crypto.randomUUID?.() ?? String(Math.random()).slice(2);

const check = checker({
  onChecking: () => setText(estimate, "Checking …"),
  onChecked(found) {
    clearErrors();
    controls.get("sparsity").understood(found);
    understood.update(found, found.spec.model.network ?? "");
    setText(estimate, `${found.estimate.trials.expected} trainings, ${count(found.estimate.epochs.expected)} epochs; timing one …`);
  },
  onTimed: (found) => setText(estimate, estimateText(found.estimate)),
  onUntimed: (error) => setText(estimate, `${estimate.textContent.split(";")[0]}. How long they take is not known: ${error.message}`),
  onRefused: showRefusal,
});

build();

async function build() {
  fill(main, h("h1", {}, "New job"), h("p", { class: "muted", role: "status" }, "Reading the names that a job can use …"));
  const { sections, label } = await readFields();
  for (const fields of sections.values()) for (const field of fields) {
    const onInput = () => {
      REPLACED[field.path]?.();
      changed();
    };
    controls.set(field.path, (field.path === "sparsity" ? sparsityControl : control)(field, onInput));
  }
  const first = CELLS.map((paths) => (paths[0] in FILES ? h("div", { class: "cell" }, ...paths.map((path) => controls.get(path).node), ...FILES[paths[0]].map(fileField)) : controls.get(paths[0]).node));
  const more = [...sections].map(([section, fields]) => {
    const rest = fields.filter(({ path }) => !FIRST.includes(path));
    return h("details", { class: "card more" }, h("summary", {}, label(section)), h("div", { class: "fields" }, ...rest.map(({ path }) => controls.get(path).node)));
  });
  const others = more.filter((_, at) => [...sections.values()][at].some(({ path }) => !FIRST.includes(path)));
  fill(
    main,
    h("div", { class: "page-head" }, h("h1", {}, "New job")),
    h(
      "form",
      { class: "job-form", onsubmit: start, novalidate: true },
      h("div", { class: "form-fields" }, h("section", { class: "card fields first", "aria-label": "Job" }, ...first), h("h2", {}, "More"), ...others),
      h("aside", { class: "form-side", "aria-label": "Check of the job" }, h("div", { class: "card side" }, submit, estimate, refusal, understood.node), h("div", { class: "card" }, h("header", {}, h("h2", {}, "This job as"), h("span", { class: "end" }, ...Object.keys(FORMS).map(formButton), copied)), code)),
    ),
  );
  await begin();
}

/** A field for a file that can take the place of a name. */
function fileField(field) {
  const made = uploadControl(field, (upload) => take(field, upload));
  files.set(field.id, made);
  return made.node;
}

/** Name an upload in the job, and clear what it takes the place of. */
function take({ names, clears, sets }, upload) {
  for (const path of clears) controls.get(path).write(undefined);
  for (const [path, value] of Object.entries(sets)) controls.get(path).write(value);
  controls.get(names).write(upload.id);
  changed();
}

/** What else changes with a field: a name takes the place of an upload. */
const REPLACED = {
  "model.architecture": () => controls.get("model.architecture").read() !== undefined && drop("model.network", "file-network"),
  "data.dataset": () => controls.get("data.dataset").read() !== "upload" && drop("data.upload", "file-data"),
};

function drop(path, file) {
  controls.get(path).write(undefined);
  files.get(file).clear();
}

/** Begin with the job that the address names, or with a small one. */
async function begin() {
  const from = new URLSearchParams(location.search).get("from");
  let spec = FIRST_JOB;
  if (from) {
    try {
      spec = (await get(`/v1/jobs/${from}`)).spec;
    } catch (error) {
      showRefusal(error);
    }
  }
  for (const [path, value] of toPairs(spec)) controls.get(path)?.write(value === "all" ? undefined : value);
  changed();
}

function spec() {
  return toSpec([...controls].map(([path, one]) => [path, one.read()]));
}

function changed() {
  const now = spec();
  show(controls.get("data.path").node, WITH_PATH.has(valueAt(now, "data.dataset")));
  showCode(now);
  check(now);
}

function showCode(now) {
  const text = FORMS[shownForm](now);
  setText(code, text);
  fill(copied, copyButton(text));
}

function formButton(name) {
  const button = h("button", { type: "button", "aria-pressed": String(name === shownForm), onclick: choose }, name);
  function choose() {
    shownForm = name;
    for (const one of button.parentElement.querySelectorAll("[aria-pressed]")) setAttribute(one, "aria-pressed", String(one === button));
    showCode(spec());
  }
  return button;
}

function estimateText(found) {
  if (found.seconds === null) return `${found.trials.expected} trainings, ${count(found.epochs.expected)} epochs. ${found.untimed ?? ""}`;
  return `About ${duration(found.seconds)} (${duration(found.low_s)} to ${duration(found.high_s)}): ${found.trials.expected} trainings, ${count(found.epochs.expected)} epochs, on ${found.device}`;
}

function clearErrors() {
  show(refusal, false);
  for (const one of controls.values()) one.complain("");
}

function showRefusal(error) {
  clearErrors();
  setText(estimate, "");
  const unplaced = [];
  for (const { field, message } of error instanceof Problem ? error.errors : []) {
    const target = controls.get(field) ?? [...controls].find(([path]) => field.startsWith(`${path}.`))?.[1];
    if (!target) unplaced.push(`${field}: ${message}`);
    else {
      target.complain(message);
      const fold = target.node.closest("details");
      if (fold) fold.open = true;
    }
  }
  const placed = error instanceof Problem && error.errors.length > unplaced.length;
  show(refusal, !placed || unplaced.length > 0);
  setText(refusal, unplaced.length ? unplaced.join("; ") : error.message);
}

async function start(event) {
  event.preventDefault();
  submit.disabled = true;
  setText(submit, "Starting …");
  const wanted = spec();
  try {
    const job = await post("/v1/jobs", wanted, { headers: { "Idempotency-Key": `${key}-${hash(JSON.stringify(wanted))}` } });
    location.assign(`${ROOT}/jobs/${job.id}`);
  } catch (error) {
    showRefusal(error);
    submit.disabled = false;
    setText(submit, "Start job");
  }
}

/** A short number for a text: a second click on the button must not queue the same job twice, a changed job is new. */
function hash(text) {
  let value = 5381;
  for (const letter of text) value = (value * 33 + letter.codePointAt(0)) >>> 0;
  return value.toString(16);
}

function origin() {
  return location.origin + ROOT;
}
