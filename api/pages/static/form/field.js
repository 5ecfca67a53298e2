// One field of the form: a control with its label, its help and its error.
import { h, setAttribute, setText, show } from "../core/dom.js";

const LISTED = 12;
let lists = 0;

/**
 * A control for a field of the schema. `read()` returns its value, or undefined if it is left to the preset.
 *
 * @param field as `readFields` describes it
 * @param onInput called when the reader changed it
 */
export function control(field, onInput) {
  const id = `field-${field.path.replaceAll(".", "-")}`;
  const error = h("span", { class: "field-error", id: `${id}-error`, hidden: true });
  const help = h("small", { class: "muted", id: `${id}-help` }, helpOf(field));
  const made = MAKERS[field.kind](field, id);
  setAttribute(made.target, "aria-describedby", `${id}-help ${id}-error`);
  const label = made.isGroup ? null : h("label", { for: id }, field.label);
  const node = h(made.isGroup ? "fieldset" : "div", { class: "field" }, made.isGroup ? h("legend", {}, field.label) : label, ...made.nodes, error, help);
  node.addEventListener("input", onInput);
  function complain(message) {
    show(error, Boolean(message));
    setText(error, message);
    setAttribute(made.target, "aria-invalid", message ? "true" : null);
  }
  return { field, node, read: made.read, write: made.write, complain };
}

function helpOf(field) {
  const preset = field.default === undefined || field.default === null || typeof field.default === "object" ? "" : ` Default: ${field.default}.`;
  return field.help + preset;
}

const MAKERS = {
  number: (field, id) => {
    const words = field.words.length ? ` or ${field.words.join(", ")}` : "";
    const input = h("input", { id, inputmode: field.words.length ? null : "decimal", placeholder: placeholder(field) + words, autocomplete: "off" });
    const read = () => (input.value.trim() === "" ? undefined : toNumber(input.value.trim()));
    return { target: input, nodes: [input], read, write: (value) => (input.value = value ?? "") };
  },
  text: (field, id) => {
    const input = h("input", { id, maxlength: 4096, autocomplete: "off", placeholder: placeholder(field) });
    return { target: input, nodes: [input], read: () => input.value.trim() || undefined, write: (value) => (input.value = value ?? "") };
  },
  name: (field, id) => (field.options.length > LISTED || field.path === "prune.granularity" ? searched(field, id) : chosen(field, id)),
  choice: (field, id) => chosen(field, id),
  many: (field, id) => several(field, id),
  json: (field, id) => {
    const area = h("textarea", { id, rows: 2, spellcheck: "false", placeholder: "{}", class: "mono" });
    const read = () => {
      const text = area.value.trim();
      if (!text) return undefined;
      try {
        return JSON.parse(text);
      } catch {
        return text;
      }
    };
    return { target: area, nodes: [area], read, write: (value) => (area.value = isEmpty(value) ? "" : JSON.stringify(value)) };
  },
};

/** A field with many names: the browser searches among them while one types. */
function searched(field, id) {
  const list = `names-${(lists += 1)}`;
  const input = h("input", { id, list, autocomplete: "off", spellcheck: "false", placeholder: placeholder(field) || "type to search" });
  const names = h("datalist", { id: list }, ...field.options.map(({ name, summary }) => h("option", { value: name }, summary)));
  return { target: input, nodes: [input, names], read: () => input.value.trim() || undefined, write: (value) => (input.value = value ?? "") };
}

function chosen(field, id) {
  const summary = h("small", {});
  const explain = () => setText(summary, field.options.find(({ name }) => name === select.value)?.summary ?? "");
  const select = h("select", { id, onchange: explain }, h("option", { value: "" }, placeholder(field) || "as the preset decides"), ...field.options.map(({ name }) => h("option", { value: name }, name)));
  const read = () => (select.value === "" ? undefined : field.isBoolean ? select.value === "true" : select.value);
  const write = (value) => {
    select.value = value === undefined || value === null ? "" : String(value);
    explain();
  };
  return { target: select, nodes: [select, summary], read, write };
}

function several(field, id) {
  const boxes = field.options.map(({ name, summary }) => ({ name, box: h("input", { type: "checkbox", value: name }), summary }));
  const group = h("div", { id, class: "many" }, ...boxes.map(({ name, box, summary }) => h("label", { class: "choice", title: summary }, box, name)));
  const read = () => {
    const names = boxes.filter(({ box }) => box.checked).map(({ name }) => name);
    return names.length ? names : undefined;
  };
  const write = (value) => boxes.forEach(({ name, box }) => (box.checked = Array.isArray(value) && value.includes(name)));
  return { target: group, nodes: [group], read, write, isGroup: true };
}

function placeholder(field) {
  return field.default === undefined || field.default === null || typeof field.default === "object" ? "" : String(field.default);
}

function toNumber(text) {
  const value = Number(text);
  return Number.isNaN(value) ? text : value;
}

function isEmpty(value) {
  return value === undefined || value === null || Object.keys(value).length === 0;
}
