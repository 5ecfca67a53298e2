// The fields of a job, read from the service's own schema: names, kinds, ranges, defaults and help.
import { get } from "../core/api.js";

/** Fields whose values are names of the catalog: path -> kind. */
const NAMES = {
  "model.architecture": "models",
  "data.dataset": "datasets",
  "prune.method": "methods",
  "prune.score": "scores",
  "prune.distribution": "distributions",
  "prune.schedule": "pruning_schedules",
  "prune.granularity": "granularities",
  "train.optimizer": "optimizers",
  "train.schedule": "schedules",
  "activations.strategy": "strategies",
  "tune.strategy": "strategies",
  "joint.strategy": "strategies",
};
const SECTION_LABELS = {
  model: "Network",
  data: "Data",
  target: "Cost of the result, in place of a sparsity",
  train: "Dense training and default protocol",
  prune: "Pruning",
  activations: "Activation search",
  tune: "Tuning",
  joint: "Joint search",
  final: "Final trainings",
  deploy: "Exports and speed of the result",
  resources: "Resources",
  "": "Other",
};

/** The fields of a job by section, and the catalog of names. */
export async function readFields() {
  const [document, catalog] = await Promise.all([get("/openapi.json"), get("/v1/catalog")]);
  const schemas = document.components.schemas;
  const body = document.paths["/v1/jobs"].post.requestBody.content["application/json"].schema;
  const sections = new Map();
  const add = (section, field) => sections.set(section, [...(sections.get(section) ?? []), field]);
  for (const [name, property] of Object.entries(resolve(schemas, body).properties)) {
    const inner = resolve(schemas, property);
    if (!inner.properties) add("", field(name, property, schemas, catalog));
    else for (const [key, one] of Object.entries(inner.properties)) add(name, field(`${name}.${key}`, one, schemas, catalog));
  }
  return { sections, catalog, label: (section) => SECTION_LABELS[section] ?? section };
}

/** The schema behind references and choices that only add null. */
function resolve(schemas, schema) {
  if (schema.$ref) return resolve(schemas, schemas[schema.$ref.split("/").at(-1)]);
  const choices = (schema.anyOf ?? schema.oneOf ?? []).filter((one) => one.type !== "null");
  return choices.length === 1 ? { ...resolve(schemas, choices[0]), ...described(schema) } : schema;
}

function described(schema) {
  return Object.fromEntries(["description", "default", "title"].filter((name) => name in schema).map((name) => [name, schema[name]]));
}

function field(path, property, schemas, catalog) {
  const schema = resolve(schemas, property);
  const choices = (schema.anyOf ?? []).map((one) => resolve(schemas, one));
  const words = choices.filter((one) => "const" in one).map((one) => one.const);
  const found = {
    path,
    label: path.split(".").at(-1).replaceAll("_", " "),
    ...helpAndDefault(property, schema),
    words,
    ...range(schema, choices),
  };
  if (path in NAMES) return { ...found, kind: "name", options: namesOf(path, catalog) };
  if (schema.enum) return { ...found, kind: "choice", options: schema.enum.map((name) => ({ name, summary: "" })) };
  if (path === "activations.operators") return { ...found, kind: "many", options: catalog.operators };
  if (schema.type === "array") return { ...found, ...listKind(resolve(schemas, schema.items)) };
  const types = new Set([schema.type, ...choices.map((one) => one.type)]);
  if (types.has("boolean")) return { ...found, kind: "choice", options: ["true", "false"].map((name) => ({ name, summary: "" })), isBoolean: true };
  if (types.has("integer") || types.has("number")) return { ...found, kind: "number", isInteger: !types.has("number") };
  if (types.has("object") || schema.properties || schema.additionalProperties) return { ...found, kind: "json" };
  return { ...found, kind: "text" };
}

/** A list is a choice of several of its names, or JSON. */
function listKind(items) {
  return items.enum ? { kind: "many", options: items.enum.map((name) => ({ name, summary: "" })) } : { kind: "json" };
}

/** The help of a field, and its default, which the schema states in words: generated clients send stated defaults. */
function helpAndDefault(property, schema) {
  const text = property.description ?? schema.description ?? "";
  const said = /\s*Default: `([^`]*)`\.?/.exec(text);
  const help = (said ? text.replace(said[0], "") : text).replaceAll("`", "");
  return { help, default: property.default ?? schema.default ?? (said ? parsed(said[1]) : undefined) };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function range(schema, choices) {
  const bounded = [schema, ...choices].find((one) => "minimum" in one || "exclusiveMinimum" in one || "maximum" in one) ?? {};
  return { min: bounded.minimum ?? bounded.exclusiveMinimum, max: bounded.maximum ?? bounded.exclusiveMaximum };
}

/** Names for a field; a strategy is offered where it can search. */
function namesOf(path, catalog) {
  const entries = catalog[NAMES[path]] ?? [];
  const [section] = path.split(".");
  return NAMES[path] === "strategies" ? entries.filter((entry) => entry.details.stages.includes(section)) : entries;
}
