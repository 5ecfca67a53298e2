// One job, from its state to its log. It is drawn from one load and then patched by the stream of its events.
import { Problem, ROOT } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { main, setTitle } from "../core/frame.js";
import { follow, throttled } from "../core/live.js";
import { activationMapPanel } from "../job/activation_map.js";
import { curvesPanel } from "../job/curves.js";
import { deployedPanel } from "../job/deployed.js";
import { effectsPanel } from "../job/effects.js";
import { frontPanel } from "../job/front.js";
import { headerPanel } from "../job/header.js";
import { historyPanel } from "../job/history.js";
import { keptInputsPanel } from "../job/kept_inputs.js";
import { layersPanel } from "../job/layers.js";
import { logPanel } from "../job/log.js";
import { JobModel } from "../job/model.js";
import { downloadsPanel, resultsPanel } from "../job/results.js";
import { slicesPanel } from "../job/slices.js";
import { stagesPanel } from "../job/stages.js";
import { trialsPanel } from "../job/trials_table.js";
import { onView } from "../job/view.js";

const REFRESH_MS = 2000;
const URGENT = 6;
const PANELS = [
  stagesPanel,
  resultsPanel,
  frontPanel,
  historyPanel,
  activationMapPanel,
  effectsPanel,
  curvesPanel,
  layersPanel,
  deployedPanel,
  slicesPanel,
  keptInputsPanel,
  trialsPanel,
  downloadsPanel,
  logPanel,
];

const model = new JobModel(location.pathname.split("/").at(-1));
let panels = [];
let stop = () => {};

start();

async function start() {
  main.setAttribute("aria-busy", "true");
  try {
    await model.load();
  } catch (error) {
    showFailure(error);
    return;
  }
  panels = [headerPanel(model, redraw), ...PANELS.map((make) => make(model))];
  const [head, stages, ...rest] = panels.map((panel) => panel.node);
  fill(main, head, stages, h("div", { class: "panels" }, ...rest));
  main.removeAttribute("aria-busy");
  onView(redrawSoon);
  redrawSoon();
  if (model.isFinal) await finish();
  else listen();
}

/** Draw the head, the history and the map at once, and what is further down when the browser has time. */
function draw() {
  for (const panel of panels.slice(0, URGENT)) panel.update();
  if (!performance.getEntriesByName("first-picture").length) performance.mark("first-picture");
  cancelIdleCallback(waiting);
  waiting = requestIdleCallback(() => panels.slice(URGENT).forEach((panel) => panel.update()), { timeout: 500 });
}

/** Redraw after news of the job, at most four times a second. */
const redraw = throttled(draw);
let frame = 0;
let waiting = 0;

/** Redraw after an action of the reader, with the next frame. */
function redrawSoon() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(draw);
}

function listen() {
  let asked = 0;
  stop = follow(model.id, model.job.event_count, {
    async onEvents(events) {
      model.apply(events);
      redraw();
      if (performance.now() - asked < REFRESH_MS) return;
      asked = performance.now();
      await model.refresh().catch(() => null);
      redraw();
    },
    async onEnd() {
      stop();
      await model.refresh().catch(() => null);
      redraw();
      await finish();
    },
  });
  const timer = setInterval(async () => {
    if (model.isFinal) return clearInterval(timer);
    if (!document.hidden) await model.refresh().catch(() => null);
    return redraw();
  }, REFRESH_MS);
}

async function finish() {
  await model.loadReport();
  redraw();
}

function showFailure(error) {
  setTitle("Job");
  main.removeAttribute("aria-busy");
  const missing = error instanceof Problem && error.status === 404;
  fill(
    main,
    h("h1", {}, missing ? "There is no such job" : "The job cannot be shown"),
    h("p", {}, error.message),
    h("p", {}, missing ? h("a", { href: `${ROOT}/` }, "All jobs") : h("button", { type: "button", onclick: () => location.reload() }, "Try again")),
  );
}
