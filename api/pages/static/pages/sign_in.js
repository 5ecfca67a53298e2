// Asks for an API key once. The key is sent to the service and forgotten here; the service answers with a cookie.
import { get, post, Problem, ROOT } from "../core/api.js";
import { fill, h, setText, show } from "../core/dom.js";
import { main } from "../core/frame.js";

const field = h("input", { type: "password", id: "key", name: "key", autocomplete: "off", spellcheck: "false", required: true, placeholder: "safs_…", "aria-describedby": "key-error key-help", maxlength: 200 });
const error = h("p", { class: "note error", id: "key-error", role: "alert", hidden: true });
const button = h("button", { type: "submit", class: "primary" }, "Sign in");

fill(
  main,
  h(
    "form",
    { class: "card sign-in", onsubmit: signIn },
    h("h1", {}, "Sign in"),
    h("label", { for: "key" }, "API key"),
    field,
    h("p", { class: "muted", id: "key-help" }, "An administrator creates keys with ", h("code", {}, "safs keys create"), " or on the page Keys. This browser keeps a session, not the key."),
    error,
    button,
  ),
);
field.focus();
get("/v1/me").then(goOn, () => null);

async function signIn(event) {
  event.preventDefault();
  button.disabled = true;
  try {
    await post("/sign-in", { key: field.value });
    field.value = "";
    goOn();
  } catch (problem) {
    show(error, true);
    setText(error, problem instanceof Problem ? problem.message : "The service does not answer.");
    button.disabled = false;
    field.select();
  }
}

/** Go to where the reader wanted to go. Only addresses of this service are followed. */
function goOn() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  const target = new URL(ROOT + wanted, location.origin);
  const isOurs = wanted.startsWith("/") && target.origin === location.origin && target.host === location.host;
  location.replace(isOurs ? target.href : `${ROOT}/`);
}
