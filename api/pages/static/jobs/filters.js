// The filters of the list of jobs. They are part of the address, so that a filtered list can be shared.
import { h } from "../core/dom.js";

const NAMES = ["text", "state", "network", "owner", "order"];
const TYPING_MS = 250;

/**
 * @param states states that a job can have
 * @param onChange called when a filter has changed
 */
export function filterForm(states, onChange) {
  const given = new URLSearchParams(location.search);
  const fields = {
    text: h("input", { type: "search", placeholder: "Name contains", "aria-label": "Name contains", maxlength: 200 }),
    state: choice("State", [["", "Any state"], ...states.map((state) => [state, state])]),
    network: h("input", { type: "search", placeholder: "Network", "aria-label": "Network", maxlength: 200 }),
    owner: h("input", { type: "search", placeholder: "Owner", "aria-label": "Owner", maxlength: 64 }),
    order: choice("Order", [["", "Newest first"], ["oldest", "Oldest first"]]),
  };
  for (const name of NAMES) fields[name].value = given.get(name) ?? "";
  let timer = null;
  const node = h("form", { class: "filters", role: "search", "aria-label": "Filter jobs", onsubmit: (event) => event.preventDefault() }, ...Object.values(fields));
  node.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(changed, TYPING_MS);
  });

  function values() {
    return Object.fromEntries(NAMES.map((name) => [name, fields[name].value.trim()]));
  }

  function changed() {
    const query = new URLSearchParams(Object.entries(values()).filter(([, value]) => value));
    history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
    onChange();
  }

  return { node, values };
}

function choice(label, options) {
  return h("select", { "aria-label": label }, ...options.map(([value, text]) => h("option", { value }, text)));
}
