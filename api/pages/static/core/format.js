// Numbers, times and sizes as people read them.

/** 0.8611 -> "86.1%"; an empty string for null. */
export function percent(fraction, digits = 1) {
  return isNumber(fraction) ? `${(100 * fraction).toFixed(digits)}%` : "";
}

/** A sparsity with the digits that it needs: 0.99 -> "99%", 0.985 -> "98.5%". */
export function sparsity(fraction) {
  return isNumber(fraction) ? `${Number((100 * fraction).toFixed(4))}%` : "";
}

/** What a job spec asks for: its sparsity, or its target: "99%", "flops 0.3". */
export function goal(spec) {
  const [cost] = Object.entries(spec.target ?? {}).filter(([, value]) => value !== null);
  return cost ? cost.join(" ") : sparsity(spec.sparsity);
}

/** The network of a job spec: its architecture, or that it is the user's own. */
export function network(spec) {
  return spec.model.architecture || "own network";
}

/** A difference of accuracies in percentage points, with its sign. */
export function points(difference) {
  if (!isNumber(difference)) return "";
  const value = 100 * difference;
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)} pp`;
}

/** 61470 -> "61,470". */
export function count(value) {
  return isNumber(value) ? value.toLocaleString("en-US") : "";
}

/** Seconds in two units at most: 3725 -> "1 h 2 min". */
export function duration(seconds) {
  if (!isNumber(seconds)) return "";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** The time since `at`: "3 min ago". */
export function age(at, now = Date.now()) {
  const seconds = Math.max(0, (now - Date.parse(at)) / 1000);
  return seconds < 45 ? "just now" : `${duration(seconds)} ago`;
}

/** A moment in the reader's own time zone. */
export function moment(at) {
  return at ? new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }) : "";
}

/** 123456 -> "121 KiB". */
export function bytes(size) {
  if (!isNumber(size)) return "";
  let value = size;
  for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
    if (value < 1024 || unit === "TiB") return `${value < 10 && unit !== "B" ? value.toFixed(1) : Math.round(value)} ${unit}`;
    value /= 1024;
  }
  return "";
}

/** A number with three significant digits: 0.00012345 -> "1.23e-4". */
export function short(value) {
  if (!isNumber(value)) return value === null || value === undefined ? "" : String(value);
  if (value === 0 || (Math.abs(value) >= 0.001 && Math.abs(value) < 1e5)) return String(Number(value.toPrecision(4)));
  return value.toExponential(2).replace("e+", "e");
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}
