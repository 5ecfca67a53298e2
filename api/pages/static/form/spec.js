// A job as a tree of values, and as YAML, curl and Python.

/** The value at a dotted path; undefined if there is none. */
export function valueAt(spec, path) {
  return path.split(".").reduce((value, part) => value?.[part], spec);
}

/** A tree from pairs of dotted paths and values; undefined values are left out. */
export function toSpec(pairs) {
  const spec = {};
  for (const [path, value] of pairs) {
    if (value === undefined) continue;
    const parts = path.split(".");
    let inner = spec;
    for (const part of parts.slice(0, -1)) inner = inner[part] ??= {};
    inner[parts.at(-1)] = value;
  }
  return spec;
}

/** Pairs of dotted paths and values of everything in `spec`; objects below `depth` levels stay whole. */
export function toPairs(spec, depth = 2, prefix = "") {
  return Object.entries(spec).flatMap(([name, value]) => {
    const path = prefix + name;
    const isTree = value !== null && typeof value === "object" && !Array.isArray(value);
    return isTree && depth > 1 ? toPairs(value, depth - 1, `${path}.`) : [[path, value]];
  });
}

/** YAML with one line for each value. Strings are in JSON's quotes, which YAML reads, unless they are plain words. */
export function toYaml(spec, indent = "") {
  return Object.entries(spec)
    .map(([name, value]) => {
      const isTree = value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length > 0;
      return isTree ? `${indent}${name}:\n${toYaml(value, `${indent}  `)}` : `${indent}${name}: ${scalar(value)}\n`;
    })
    .join("");
}

function scalar(value) {
  if (Array.isArray(value)) return `[${value.map(scalar).join(", ")}]`;
  const isPlain = typeof value === "string" && /^[A-Za-z][A-Za-z0-9_/-]*$/.test(value) && !/^(true|false|yes|no|on|off|null|y|n)$/i.test(value);
  return isPlain ? value : JSON.stringify(value);
}

/** A command for a shell. */
export function toCurl(spec, root) {
  const body = JSON.stringify(spec, null, 2).replaceAll("'", "'\\''");
  return `curl -sS ${root}/v1/jobs -H 'Content-Type: application/json' \\\n  -H "Authorization: Bearer $SAFS_API_KEY" -d '${body}'\n`;
}

/** A program that submits the job and waits for it. */
export function toPython(spec, root) {
  return `from safs.client import Client\n\nwith Client(${JSON.stringify(root)}) as client:\n    job = client.submit(${literal(spec, "    ")})\n    job.wait(progress=True)\n    job.download("result")\n`;
}

function literal(value, indent) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map((one) => literal(one, indent)).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const lines = Object.entries(value).map(([name, one]) => `${inner}${JSON.stringify(name)}: ${literal(one, inner)},\n`);
  return lines.length ? `{\n${lines.join("")}${indent}}` : "{}";
}
