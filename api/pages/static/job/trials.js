// All trials of a job as columns: arrays of equal length, in the order in which the trials began.
import { get, withParameters } from "../core/api.js";
import { SEARCHES } from "../core/states.js";

const PAGE_SIZE = 500;
const OPERATOR = "operator:";

/** The trials of a job. `version` grows with every change, so that drawings know whether they are out of date. */
export class Trials {
  constructor() {
    this.rows = [];
    this.places = new Map();
    this.version = 0;
  }

  /** Fetch all trials of a job. */
  async load(jobId) {
    let token = null;
    do {
      const page = await get(withParameters(`/v1/jobs/${jobId}/trials`, { limit: PAGE_SIZE, page_token: token }));
      for (const trial of page.items) this.put(trial);
      token = page.next_page_token;
    } while (token !== null);
    this.rows.sort((one, other) => one.started - other.started || one.number - other.number);
    this.rows.forEach((row, place) => this.places.set(row.key, place));
  }

  /** Add a trial, or replace what is known of it. */
  put(trial) {
    const key = `${trial.stage}-${trial.number}`;
    const place = this.places.get(key) ?? this.rows.length;
    const before = this.rows[place];
    const sites = before?.config === trial.config ? before.sites : sitesOf(trial.config);
    this.rows[place] = {
      ...trial,
      key,
      sites,
      recipe: before?.config === trial.config ? before.recipe : recipeOf(trial.config),
      isSearch: SEARCHES.includes(trial.stage),
      started: Date.parse(trial.started_at),
      finished: trial.finished_at ? Date.parse(trial.finished_at) : null,
    };
    this.places.set(key, place);
    this.version += 1;
  }

  /** Take in what an event says; returns true if it concerns a trial. */
  apply(event) {
    const { stage, candidate, outcome, recalled } = event.data;
    if (event.kind === "trial_started") {
      this.put({ ...empty(stage, candidate), state: "running", started_at: event.at, finished_at: null });
      return true;
    }
    if (event.kind !== "trial_done") return false;
    const known = this.get(`${stage}-${candidate.number}`);
    this.put({
      ...empty(stage, candidate),
      state: outcome.error === null ? "done" : "failed",
      started_at: known?.started_at ?? event.at,
      finished_at: event.at,
      loss: outcome.loss,
      accuracy: outcome.metrics.accuracy ?? null,
      cross_entropy: outcome.metrics.cross_entropy ?? null,
      seconds: outcome.seconds,
      error: outcome.error,
      left: outcome.left,
      recalled: recalled ?? null,
    });
    return true;
  }

  /** The trial with this key, such as `joint-3`; undefined if there is none. */
  get(key) {
    const place = this.places.get(key);
    return place === undefined ? undefined : this.rows[place];
  }
}

/** Best first, as the service ranks: loss, then cross-entropy, then number. Only finished trials have a rank. */
export function byRank(one, other) {
  return (
    one.loss - other.loss ||
    (one.cross_entropy ?? Infinity) - (other.cross_entropy ?? Infinity) ||
    one.number - other.number
  );
}

/** True if the trial has a result that counts. */
export function isRanked(trial) {
  return trial.state === "done" && trial.accuracy !== null;
}

function empty(stage, candidate) {
  const unknown = { loss: null, accuracy: null, cross_entropy: null, seconds: null, error: null, left: null, recalled: null };
  return { stage, ...candidate, ...unknown };
}

function sitesOf(config) {
  const found = {};
  for (const [name, value] of Object.entries(config)) if (name.startsWith(OPERATOR)) found[name.slice(OPERATOR.length)] = value;
  return found;
}

function recipeOf(config) {
  return Object.fromEntries(Object.entries(config).filter(([name]) => !name.startsWith(OPERATOR)));
}
