// The filters of the list of jobs. They are part of the address, so that a filtered list can be shared.
import { h } from "../core/dom.js";

const NAMES = ["text", "state", "network", "owner", "order"];
/** Order of the list -> its name. The empty one is the service's default. */
const ORDERS = {
  "": "Newest first",
  oldest: "Oldest first",
  "-accuracy": "Best accuracy first",
  accuracy: "Worst accuracy first",
  "-gain": "Largest gain first",
  gain: "Smallest gain first",
  "-sparsity": "Sparsest first",
  sparsity: "Densest first",
  name: "Name, A to Z",
  "-name": "Name, Z to A",
  state: "State, queued first",
  "-state": "State, failed first",
};
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
    order: choice("Order", Object.entries(ORDERS)),
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

  /** Sort by a column: in its first order, or in the other one if it is sorted so already. */
  function sortBy([first, second]) {
    fields.order.value = fields.order.value === first ? second : first;
    changed();
  }

  return { node, values, sortBy };
}

function choice(label, options) {
  return h("select", { "aria-label": label }, ...options.map(([value, text]) => h("option", { value }, text)));
}
