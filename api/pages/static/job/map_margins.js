// What stands beside the rows of the activation map: the layer's density and dead neurons, own and best operator.
import { operatorCss } from "../core/operators.js";
import { hasOperators } from "./trials.js";

/** Pixels left of the map. */
export const LEFT = 210;
/** Pixels right of the map. */
export const RIGHT = 190;

const LONGEST_NAME = 15;

/** The sites in the order of their calls, with what the report measured at each. */
export function sitesOf(model) {
  const measured = new Map((model.report?.layers?.[model.report.result]?.sites ?? []).map((site) => [site.path, site]));
  const known = model.trials.rows.find((trial) => hasOperators(trial) && Object.keys(trial.sites).length > 0);
  const searched = Object.keys(known?.sites ?? {});
  const reported = model.report?.sites ?? [];
  // With the scope `block` or `network`, a row is a group of sites, which the report does not list.
  if (!searched.length || !reported.length || !searched.some((path) => reported.some((site) => site.path === path))) {
    return searched.map((path) => ({ path, own: null, chosen: null, dead: null, density: null }));
  }
  return reported.map((site, at) => ({ ...site, dead: deadShare(measured.get(site.path)), density: densityBefore(model, at) }));
}

function deadShare(site) {
  return site ? site.dead_static + site.dead_dynamic : null;
}

/** The density of the layer that feeds a site. It is known only where layers and sites alternate, as in a plain chain. */
function densityBefore(model, at) {
  const { layers } = model.report.sparsity;
  const sites = model.report.sites.length;
  if (layers.length !== sites && layers.length !== sites + 1) return null;
  return layers[at].live / layers[at].weights;
}

/** Draw names, density and dead neurons. */
export function drawLeftMargin(context, grid, ink, top) {
  const hasNumbers = grid.sites.some((site) => site.dead !== null);
  context.textBaseline = "middle";
  if (hasNumbers) {
    context.fillStyle = ink.muted;
    context.textAlign = "center";
    context.fillText("density", 133, top - 9);
    context.fillText("dead", 181, top - 9);
  }
  grid.sites.forEach((site, row) => {
    if (grid.rowHeight < 12 && row % 2) return;
    const y = top + (row + 0.5) * grid.rowHeight;
    context.fillStyle = ink.ink;
    context.textAlign = "left";
    context.fillText(cut(site.path), 0, y);
    if (site.density !== null) bar(context, 112, y, 42, site.density, ink.point, ink);
    if (site.dead !== null) bar(context, 160, y, 42, site.dead, ink.bad, ink);
  });
}

/** Draw the network's own operator and that of the result, or of the best trial so far. */
export function drawRightMargin(context, grid, ink, top, left) {
  const best = grid.model.best;
  const hasOwn = grid.sites.some((site) => site.own);
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.fillStyle = ink.muted;
  if (hasOwn) context.fillText("own", left, top - 9);
  const second = hasOwn ? left + 78 : left;
  context.fillText(hasOwn ? "result" : "best", second, top - 9);
  grid.sites.forEach((site, row) => {
    if (grid.rowHeight < 12 && row % 2) return;
    const y = top + (row + 0.5) * grid.rowHeight;
    if (site.own) named(context, left, y, site.own, ink);
    const name = site.chosen ?? best?.sites[site.path];
    if (name) named(context, second, y, name, ink);
  });
}

function named(context, x, y, name, ink) {
  context.fillStyle = operatorCss(name);
  context.fillRect(x, y - 5, 10, 10);
  context.fillStyle = ink.ink;
  context.fillText(name, x + 15, y);
}

function bar(context, x, y, width, share, colour, ink) {
  context.fillStyle = ink.raised;
  context.fillRect(x, y - 6, width, 12);
  context.fillStyle = colour;
  context.globalAlpha = 0.45;
  context.fillRect(x, y - 6, width * Math.min(1, share), 12);
  context.globalAlpha = 1;
  context.fillStyle = ink.ink;
  context.textAlign = "center";
  context.fillText(`${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`, x + width / 2, y + 0.5);
}

function cut(name) {
  return name.length <= LONGEST_NAME ? name : `…${name.slice(1 - LONGEST_NAME)}`;
}
