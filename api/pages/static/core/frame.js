// What all pages share: the theme, the caller's name, and a banner while the service does not answer.
import { get, onReachable, post, ROOT } from "./api.js";
import { setText, show } from "./dom.js";

const THEMES = ["auto", "light", "dark"];
/** When the dark style sheet holds, for each theme. */
const DARK_MEDIA = { auto: "(prefers-color-scheme: dark)", light: "not all", dark: "all" };
const LABELS = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" };

/** The element that a page fills. */
export const main = document.getElementById("main");

const redraws = new Set();

/** Call `redraw` when the colours of the page have changed; pictures hold colours that no style sheet reaches. */
export function onTheme(redraw) {
  redraws.add(redraw);
}

/** The value of a colour of the style sheet, such as `--ink`. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** True if the page is dark now. */
export function isDark() {
  return colour("--is-dark") === "1";
}

/** Name the page in the window's title. */
export function setTitle(text) {
  document.title = `${text} · SAFS`;
}

/** Whether the caller may manage keys. Resolves once; null if the service cannot tell. */
export const caller = get("/v1/me").catch(() => null);

function theme() {
  return document.documentElement.dataset.theme ?? "auto";
}

function setTheme(wanted) {
  if (wanted === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = wanted;
  document.getElementById("dark").media = DARK_MEDIA[wanted];
  try {
    localStorage.setItem("safs-theme", wanted);
  } catch {
    // Storage can be forbidden; the choice then lasts as long as the page.
  }
  showTheme();
  for (const redraw of redraws) redraw();
}

function showTheme() {
  const button = document.getElementById("theme");
  setText(button, LABELS[theme()]);
  button.setAttribute("aria-label", `Colour theme: ${theme()}`);
}

document.getElementById("theme").addEventListener("click", () => {
  setTheme(THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraws.forEach((redraw) => redraw()));
document.getElementById("dark").addEventListener("load", () => redraws.forEach((redraw) => redraw()));
showTheme();

const banner = document.getElementById("connection");

onReachable((reachable) => {
  setText(banner, "The service does not answer. This page shows what was last known and keeps trying.");
  show(banner, !reachable);
});

caller.then((found) => {
  if (found === null) return;
  setText(document.getElementById("who"), found.owner ?? "");
  const out = document.getElementById("sign-out");
  show(out, found.key !== null);
  out.addEventListener("click", async () => {
    try {
      await post("/sign-out");
      location.assign(`${ROOT}/sign-in`);
    } catch (error) {
      setText(banner, `You are still signed in: ${error.message}`);
      show(banner, true);
    }
  });
  for (const link of document.querySelectorAll("[data-admin]")) show(link, found.scopes.includes("admin"));
});
