// Builds elements and patches lists in place. Text always becomes a text node: nothing that a user named is ever read
// as markup.

/** An element with properties and children. A property `onclick` adds a listener; others become attributes. */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) setProperty(node, name, value);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An SVG element. */
export function svg(tag, properties = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function setProperty(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name === "value" || name === "checked") node[name] = value;
  else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
  else node.setAttribute(name, value === true ? "" : value);
}

/** Set the text of a node, if it is another one: an unchanged node keeps the user's selection of its text. */
export function setText(node, text) {
  const wanted = text === null || text === undefined ? "" : String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Set or remove an attribute, if it is another one. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value === true ? "" : value)) node.setAttribute(name, value === true ? "" : value);
}

/** Replace the children of a node. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
}

/** Show or hide a node. */
export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

const lists = new WeakMap();

/**
 * Make the children of `parent` those of `items`, in order. A child whose key is known is kept and updated, so that
 * focus, scroll position and selection survive.
 *
 * @param make (item) -> {node, update(item)}
 */
export function keyed(parent, items, keyOf, make) {
  const known = lists.get(parent) ?? new Map();
  const next = new Map();
  for (const item of items) {
    const key = keyOf(item);
    const entry = known.get(key) ?? make(item);
    entry.update?.(item);
    next.set(key, entry);
  }
  for (const [key, entry] of known) if (!next.has(key)) entry.node.remove();
  let place = parent.firstElementChild;
  for (const entry of next.values()) {
    if (entry.node === place) place = place.nextElementSibling;
    else parent.insertBefore(entry.node, place);
  }
  lists.set(parent, next);
}
