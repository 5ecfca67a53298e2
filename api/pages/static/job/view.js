// What the reader has chosen: one stage, and one selection of trials. It holds in every panel and in the address.
const MOST_SELECTED = 12;

const query = new URLSearchParams(location.search);
const watchers = new Set();
const state = {
  stage: query.get("stage") ?? "",
  by: query.get("by") ?? "order",
  map: query.get("map") ?? "time",
  selected: new Set((query.get("trials") ?? "").split(",").filter(Boolean).slice(0, MOST_SELECTED)),
};

/** The present choices. `selected` holds keys of trials, such as `joint-3`. */
export const view = state;

/** Call `watcher()` after every change. */
export function onView(watcher) {
  watchers.add(watcher);
}

/** Change choices, and the address with them. */
export function setView(changes) {
  Object.assign(state, changes);
  for (const watcher of watchers) watcher();
  clearTimeout(late);
  late = setTimeout(showAddress); // after the picture: changing the address takes longer than drawing
}

let late = 0;

function showAddress() {
  const parts = { stage: state.stage, by: state.by === "order" ? "" : state.by, map: state.map === "time" ? "" : state.map, trials: [...state.selected].join(",") };
  const wanted = new URLSearchParams(Object.entries(parts).filter(([, value]) => value));
  try {
    history.replaceState(null, "", (wanted.size ? `?${wanted}` : location.pathname) + location.hash);
  } catch {
    // A file that is opened from a disk has no address to change.
  }
}

/** Select a trial, or drop it from the selection. `alone` drops all others. */
export function toggle(key, { alone = false } = {}) {
  const had = state.selected.has(key);
  const next = alone ? new Set() : new Set(state.selected);
  if (had) next.delete(key);
  else next.add(key);
  while (next.size > MOST_SELECTED) next.delete(next.values().next().value);
  setView({ selected: next });
}
