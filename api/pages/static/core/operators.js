// Colours of operators: one hue for a family, one shade for a member, so that a picture can be read without its legend.
import { isDark } from "./frame.js";

const FAMILIES = {
  relu: { hue: 205, members: ["relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "softplus"] },
  swish: { hue: 155, members: ["swish", "hardswish", "gelu", "mish", "srs", "acon"] },
  saturating: { hue: 25, members: ["tanh", "tanhsoft1", "sigmoid", "hardsigmoid", "logsigmoid"] },
  logarithmic: { hue: 295, members: ["symlog", "symexp"] },
  plain: { hue: 0, members: ["identity"] },
};
const PLACES = new Map(
  Object.entries(FAMILIES).flatMap(([family, { members }]) => members.map((name, at) => [name, { family, at, of: members.length }])),
);
const cache = new Map();

/** The colour of an operator as [red, green, blue], each 0 to 255. */
export function operatorColour(name) {
  const key = `${name}|${isDark()}`;
  if (!cache.has(key)) cache.set(key, compute(name));
  return cache.get(key);
}

/** The colour of an operator as CSS. */
export function operatorCss(name) {
  return `rgb(${operatorColour(name).join(" ")})`;
}

/** Families first, then members: the order of a legend. */
export function inLegendOrder(names) {
  const rank = (name) => {
    const place = PLACES.get(name);
    return place ? Object.keys(FAMILIES).indexOf(place.family) * 100 + place.at : 1000;
  };
  return [...names].sort((one, other) => rank(one) - rank(other) || (one < other ? -1 : 1));
}

function compute(name) {
  const place = PLACES.get(name);
  if (!place) return hsl(hash(name) % 360, 45, isDark() ? 62 : 48);
  if (place.family === "plain") return isDark() ? [138, 148, 160] : [150, 158, 168];
  const share = place.of > 1 ? place.at / (place.of - 1) : 0.5;
  const lightness = isDark() ? 78 - 44 * share : 28 + 48 * share;
  return hsl(FAMILIES[place.family].hue + 26 * (share - 0.5), 62 - 8 * share, lightness);
}

function hash(text) {
  let value = 7;
  for (const letter of text) value = (value * 31 + letter.codePointAt(0)) % 9973;
  return value;
}

function hsl(hue, saturation, lightness) {
  const [s, l] = [saturation / 100, lightness / 100];
  const chroma = s * Math.min(l, 1 - l);
  return [0, 8, 4].map((offset) => {
    const k = (offset + (((hue % 360) + 360) % 360) / 30) % 12;
    return Math.round(255 * (l - chroma * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  });
}
