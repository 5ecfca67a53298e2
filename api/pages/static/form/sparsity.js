// The sparsity: a slider over the share of weights that stay, with the exact number beside it.
import { h, setText } from "../core/dom.js";
import { count } from "../core/format.js";

const FEWEST = -4;
const STEPS = 400;

/** The number in `text`, as a fraction or in percent; the text itself if it is no number. */
function fraction(text) {
  const value = Number(text.replace("%", "")) / (text.endsWith("%") ? 100 : 1);
  return Number.isNaN(value) ? text : Number(value.toPrecision(12));
}

/** A field for the sparsity, or for several with commas between them; the slider is logarithmic, because 99% and 99.9% differ by a factor of ten. */
export function sparsityControl(field, onInput) {
  const slider = h("input", { type: "range", id: "sparsity-slider", min: 0, max: STEPS, step: 1, "aria-label": "Share of the weights to remove, logarithmic" });
  const number = h("input", { id: "field-sparsity", inputmode: "decimal", autocomplete: "off", "aria-describedby": "field-sparsity-help field-sparsity-error" });
  const live = h("strong");
  const error = h("span", { class: "field-error", id: "field-sparsity-error", hidden: true });
  const node = h("div", { class: "field sparsity" }, h("label", { for: "field-sparsity" }, "sparsity"), h("div", { class: "slider-line" }, slider, number), live, error, h("small", { class: "muted", id: "field-sparsity-help" }, field.help));
  let weights = null;
  slider.addEventListener("input", () => {
    const density = 10 ** ((FEWEST * slider.valueAsNumber) / STEPS);
    const digits = density > 0.1 ? 2 : density > 0.01 ? 3 : density > 0.001 ? 4 : 5;
    number.value = String(Number((1 - density).toFixed(digits)));
    showLive();
    onInput();
  });
  number.addEventListener("input", () => {
    place();
    showLive();
    onInput();
  });

  function read() {
    const text = number.value.trim();
    if (text === "") return undefined;
    return text.includes(",") ? text.split(",").map((one) => fraction(one.trim())) : fraction(text);
  }

  function place() {
    const value = read();
    if (typeof value === "number" && value >= 0 && value < 1) slider.value = String(Math.round((STEPS * Math.log10(1 - value)) / FEWEST));
  }

  function showLive(exact = null) {
    const value = read();
    if (exact !== null) setText(live, `${count(exact)} of ${count(weights)} weights stay`);
    else if (weights !== null && typeof value === "number") setText(live, `about ${count(Math.round(weights * (1 - value)))} of ${count(weights)} weights stay`);
    else setText(live, "");
  }

  return {
    field,
    node,
    read,
    write(value) {
      number.value = value ?? "";
      place();
      showLive();
    },
    complain(message) {
      error.hidden = !message;
      setText(error, message);
      if (message) number.setAttribute("aria-invalid", "true");
      else number.removeAttribute("aria-invalid");
    },
    understood(check) {
      weights = check.weights;
      showLive(check.live);
    },
  };
}
