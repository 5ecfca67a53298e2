// Requests to the service. The pages use the same `/v1` as every other client.

/** Prefix of all addresses, for a service behind a proxy that adds one. */
export const ROOT = document.documentElement.dataset.root ?? "";

/** A refusal of the service, as its problem document describes it. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? `the service answered ${status}`);
    this.status = status;
    this.code = body.code ?? "unknown";
    this.errors = body.errors ?? [];
    this.retryable = body.retryable ?? status >= 500;
  }
}

/** The service did not answer at all. */
export class Unreachable extends Error {}

const watchers = new Set();
let reachable = true;

/** Call `watcher(reachable)` whenever the service stops or starts to answer. */
export function onReachable(watcher) {
  watchers.add(watcher);
}

/** Tell the watchers that the service answers, or that it does not. */
export function setReachable(now) {
  if (now === reachable) return;
  reachable = now;
  for (const watcher of watchers) watcher(now);
}

/** The JSON at an address below the service's root. */
export async function get(path, { signal } = {}) {
  return (await request(path, { signal })).json();
}

/** Send JSON; returns the JSON of the answer, or null if it has none. */
export async function post(path, body, { signal, headers = {}, method = "POST" } = {}) {
  const answer = await request(path, {
    method,
    signal,
    headers: { "Content-Type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return answer.status === 204 ? null : answer.json();
}

/** A request; raises Problem for every status of an error. */
export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(ROOT + path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    setReachable(false);
    throw new Unreachable("the service does not answer");
  }
  setReachable(true);
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 401 && !location.pathname.endsWith("/sign-in")) signIn();
  throw new Problem(answer.status, body);
}

/** Go to the page that asks for a key, and come back to this address afterwards. */
export function signIn() {
  const here = location.pathname.slice(ROOT.length) + location.search + location.hash;
  location.assign(`${ROOT}/sign-in?next=${encodeURIComponent(here)}`);
}

/** An address with the given parameters; empty ones are left out. */
export function withParameters(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}
