// A canvas that follows the size of its box and the sharpness of the screen, with a tooltip and a description.
import { h, fill, show } from "../core/dom.js";
import { colour, onTheme } from "../core/frame.js";

/**
 * A drawing of many marks.
 *
 * @param options label: what the picture shows, for screen readers; height in pixels, or a function that returns it;
 *   draw(context, width, height); onPoint(x, y) returns the lines of a tooltip, or null; onPick(x, y, event);
 *   onKey(event) handles the keys of a focused picture
 */
export function picture({ label, height, draw, onPoint, onPick, onKey, onLeave }) {
  const canvas = h("canvas", { role: "img", "aria-label": label, tabindex: onKey ? "0" : null });
  const tip = h("div", { class: "tip", role: "status", hidden: true });
  const node = h("div", { class: "picture" }, canvas, tip);
  const context = canvas.getContext("2d");
  let width = 0;
  let inView = false;
  let late = true;

  /** Draw now, or as soon as the picture comes into view: most pictures of a long page are out of sight. */
  function redraw() {
    canvas.style.height = `${tallness()}px`;
    late = !inView;
    if (inView) drawNow();
  }

  function tallness() {
    return typeof height === "function" ? height() : height;
  }

  function drawNow() {
    const tall = tallness();
    if (node.clientWidth === 0) return;
    width = node.clientWidth;
    const sharpness = window.devicePixelRatio || 1;
    const pixels = [Math.round(width * sharpness), Math.round(tall * sharpness)];
    if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels;
    context.setTransform(sharpness, 0, 0, sharpness, 0, 0);
    context.clearRect(0, 0, width, tall);
    context.font = "12px system-ui, sans-serif";
    draw(context, width, tall);
  }

  function showTip(x, y, lines) {
    show(tip, lines !== null);
    if (lines === null) return;
    fill(tip, ...lines.map((line, at) => h(at ? "span" : "strong", {}, line)));
    tip.style.left = `${Math.max(0, Math.min(x + 14, width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y + 16}px`;
  }

  if (onPoint) {
    canvas.addEventListener("pointermove", (event) => showTip(event.offsetX, event.offsetY, onPoint(event.offsetX, event.offsetY)));
    canvas.addEventListener("pointerleave", () => {
      showTip(0, 0, null);
      onLeave?.();
    });
  }
  if (onPick) canvas.addEventListener("click", (event) => onPick(event.offsetX, event.offsetY, event));
  if (onKey) {
    canvas.addEventListener("keydown", onKey);
    canvas.addEventListener("blur", () => {
      showTip(0, 0, null);
      onLeave?.();
    });
  }
  new IntersectionObserver(
    (entries) => {
      inView = entries.at(-1).isIntersecting;
      if (inView && late) redraw();
    },
    { rootMargin: "200px" },
  ).observe(node);
  new ResizeObserver(() => node.clientWidth !== width && redraw()).observe(node);
  onTheme(redraw);
  return { node, redraw, showTip, canvas };
}

/** The colours of the page, read once for a drawing. */
export function inks() {
  const names = ["ink", "muted", "line", "line-strong", "surface", "raised", "accent", "good", "bad", "warn", "point"];
  const found = Object.fromEntries(names.map((name) => [name, colour(`--${name}`)]));
  found.series = [1, 2, 3, 4, 5, 6].map((at) => colour(`--series-${at}`));
  return found;
}
