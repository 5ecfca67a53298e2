// plotly.js, loaded when the first picture that needs it comes into view, in the colours of the page.
import { h } from "../core/dom.js";
import { isDark, onTheme } from "../core/frame.js";
import { inks } from "./canvas.js";

// Without a pointer that hovers, the bar of buttons would always cover the legend.
const CONFIG = { displayModeBar: matchMedia("(hover: none)").matches ? false : "hover", displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "sendDataToCloud"] };

let loading = null;

function load() {
  loading ??= source().then(
    (src) =>
      new Promise((resolve, reject) => {
        const failed = () => reject(new Error("plotly.js cannot be loaded"));
        document.head.append(h("script", { src, onload: () => resolve(window.Plotly), onerror: failed }));
      }),
  );
  return loading;
}

/** The address of plotly.js: a file of the service, or the compressed copy that report.html holds. */
async function source() {
  const packed = document.getElementById("plotly");
  if (packed === null) return new URL("../plotly.min.js", import.meta.url).href;
  const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return URL.createObjectURL(new Blob([await new Response(stream).arrayBuffer()], { type: "text/javascript" }));
}

/** Text for plotly.js, which reads a few tags in texts as markup: `<` is written so that none is found. */
export function plain(text) {
  return String(text ?? "").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/**
 * A picture by plotly.js.
 *
 * @param options label for screen readers; height in pixels; figure(ink) returns {data, layout}
 */
export function chart({ label, height, figure }) {
  const box = h("div", { class: "plot", style: { height: `${height}px` } });
  const node = h("div", { role: "group", "aria-label": label }, box);
  let visible = false;
  let busy = false;
  let late = false;

  async function redraw() {
    if (!visible) return;
    if (busy) {
      late = true;
      return;
    }
    busy = true;
    do {
      late = false;
      const plotly = await load();
      const ink = inks();
      const { data, layout } = figure(ink);
      await plotly.react(box, data, { ...base(ink, height), ...layout, xaxis: axis(ink, layout?.xaxis), yaxis: axis(ink, layout?.yaxis) }, CONFIG);
    } while (late);
    busy = false;
  }

  new IntersectionObserver(
    (entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      visible = true;
      redraw();
    },
    { rootMargin: "300px" },
  ).observe(node);
  onTheme(redraw);
  return { node, redraw };
}

function base(ink, height) {
  return {
    height,
    margin: { l: 56, r: 14, t: 12, b: 44 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: ink.muted },
    colorway: ink.series,
    hoverlabel: { bgcolor: ink.ink, bordercolor: ink.ink, font: { color: isDark() ? "#0f1317" : "#ffffff" } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 } },
    hovermode: "closest",
  };
}

function axis(ink, more) {
  return { gridcolor: ink.line, zerolinecolor: ink.line, linecolor: ink["line-strong"], automargin: true, ...more };
}
