// From values to pixels, and round numbers for axes.

/** A linear or logarithmic scale. `domain` and `range` are pairs. */
export function scale(domain, range, { log = false } = {}) {
  const map = log ? (value) => Math.log10(value) : (value) => value;
  const low = map(domain[0]);
  const span = map(domain[1]) - low || 1;
  const to = (value) => range[0] + ((map(value) - low) / span) * (range[1] - range[0]);
  const from = (pixel) => {
    const value = low + ((pixel - range[0]) / (range[1] - range[0])) * span;
    return log ? 10 ** value : value;
  };
  return { to, from, domain, range, log };
}

/** Round numbers within a domain: about `wanted` of them. */
export function ticks([low, high], wanted = 5, log = false) {
  if (log) return logTicks(low, high);
  const span = high - low;
  if (!(span > 0)) return [low];
  const step = roundStep(span / wanted);
  const first = Math.ceil(low / step - 1e-9) * step;
  const found = [];
  for (let value = first; value <= high + step * 1e-9; value += step) found.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  return found;
}

function roundStep(raw) {
  const power = 10 ** Math.floor(Math.log10(raw));
  const lead = raw / power;
  return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

function logTicks(low, high) {
  const found = [];
  const decades = Math.log10(high / low);
  const every = Math.max(1, Math.ceil(decades / 5));
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += every) {
    for (const factor of decades < 1.5 ? [1, 2, 5] : [1]) {
      const value = factor * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  return found.length ? found : [low, high];
}

/** The least and the greatest finite value, a little widened; `fallback` if there is none. */
export function extent(values, fallback = [0, 1], margin = 0.04) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value === null || !Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return fallback;
  const widened = (high - low || Math.abs(high) || 1) * margin;
  return [low - widened, high + widened];
}
