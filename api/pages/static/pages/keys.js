// API keys: list, create (shown once), revoke.
import { get, post } from "../core/api.js";
import { fill, h, keyed, setText, show } from "../core/dom.js";
import { main } from "../core/frame.js";
import { age, moment } from "../core/format.js";
import { repeat } from "../core/live.js";
import { badge } from "../core/states.js";
import { copyButton } from "../job/results.js";

const REFRESH_MS = 10000;
const SCOPES = { submit: "submit and cancel jobs, upload files", read: "see jobs and download results", admin: "everything, for all owners" };
const DAY_S = 86400;

const failure = h("p", { class: "note error", role: "alert", hidden: true });
const made = h("div", { class: "note", role: "status", hidden: true });
const body = h("tbody");
const none = h("p", { class: "empty", hidden: true }, "No keys yet. Until the first is created, programs and browsers on the service's own machine need none; after that, everybody does.");
const owner = h("input", { id: "owner", required: true, maxlength: 64, pattern: "[A-Za-z0-9][A-Za-z0-9._@\\-]*", autocomplete: "off" });
const days = h("input", { id: "days", type: "number", min: 1, max: 3650, placeholder: "never" });
const boxes = Object.entries(SCOPES).map(([scope, summary]) => {
  const box = h("input", { type: "checkbox", value: scope, checked: scope !== "admin" });
  return { box, node: h("label", { class: "choice" }, box, h("span", {}, h("strong", {}, scope), ` ${summary}`)) };
});
const heads = ["Key", "Owner", "Scopes", "State", "Expires", "Last used", ""];

fill(
  main,
  h("div", { class: "page-head" }, h("h1", {}, "Keys")),
  failure,
  made,
  h(
    "form",
    { class: "card key-form", onsubmit: create },
    h("h2", {}, "New key"),
    h("div", { class: "field" }, h("label", { for: "owner" }, "Owner"), owner, h("small", { class: "muted" }, "A person or a team. Jobs belong to owners; an owner can have several keys.")),
    h("fieldset", {}, h("legend", {}, "Scopes"), ...boxes.map(({ node }) => node)),
    h("div", { class: "field" }, h("label", { for: "days" }, "Expires after days"), days),
    h("button", { type: "submit", class: "primary" }, "Create key"),
  ),
  h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of keys" }, h("table", { class: "grid" }, h("thead", {}, h("tr", {}, ...heads.map((name) => h("th", { scope: "col" }, name || h("span", { class: "hidden-text" }, "Actions"))))), body)),
  none,
);

const refresh = repeat(load, () => REFRESH_MS);

async function load() {
  try {
    const keys = await get("/v1/keys");
    keyed(body, keys, (key) => key.key, keyRow);
    show(none, keys.length === 0);
    show(body.parentElement, keys.length > 0);
  } catch (error) {
    complain(error);
  }
}

async function create(event) {
  event.preventDefault();
  const scopes = boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
  try {
    const wanted = { owner: owner.value.trim(), scopes };
    const key = await post("/v1/keys", days.value ? { ...wanted, lives_s: Number(days.value) * DAY_S } : wanted);
    show(failure, false);
    const token = h("code", {}, key.token);
    fill(made, h("strong", {}, "This key is shown once. Copy it now: "), token, copyButton(key.token));
    show(made, true);
    owner.value = "";
    refresh();
  } catch (error) {
    complain(error);
  }
}

function keyRow(key) {
  const state = badge(key.state);
  const used = h("td");
  const revoke = h("button", { type: "button", class: "danger small", onclick: () => ask(key) }, "Revoke");
  const node = h("tr", {}, h("th", { scope: "row" }, h("code", {}, key.key)), h("td", {}, key.owner), h("td", {}, key.scopes.join(", ")), h("td", {}, state.node), h("td", {}, key.expires_at ? moment(key.expires_at) : "never"), used, h("td", {}, revoke));
  const update = (now) => {
    state.update(now.state);
    setText(used, now.last_used_at ? age(now.last_used_at) : "never");
    show(revoke, now.state === "active");
  };
  return { node, update };
}

function ask(key) {
  const dialog = h(
    "dialog",
    { "aria-labelledby": "revoke-title", onclose: () => dialog.remove() },
    h("h2", { id: "revoke-title" }, `Revoke the key ${key.key} of ${key.owner}?`),
    h("p", {}, "Programs and browsers that use it are refused at once. This cannot be undone; the owner's jobs stay."),
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Keep it"), h("button", { type: "button", class: "danger", onclick: () => revoke(key, dialog) }, "Revoke the key")),
  );
  main.append(dialog);
  dialog.showModal();
}

async function revoke(key, dialog) {
  try {
    await post(`/v1/keys/${key.key}/revoke`);
  } catch (error) {
    complain(error);
  }
  dialog.close();
  refresh();
}

function complain(error) {
  setText(failure, error.message);
  show(failure, true);
}
