// All trials of a job as columns: arrays of equal length, in the order in which the trials began.
import { get } from "../core/api.js";
import { SEARCHES } from "../core/states.js";

const OPERATOR = "operator:";
const UNKNOWN = { loss: null, accuracy: null, cross_entropy: null, seconds: null, error: null, left: null, recalled: null };

/** A trial whose operators and hyperparameters are looked up in the service's columns when they are needed. */
class ColumnTrial {
  constructor(table, at) {
    const { columns } = table;
    this.table = table;
    this.at = at;
    for (const name of ["number", "epochs", "seed", "horizon", "continues", "loss", "accuracy", "cross_entropy", "seconds"]) this[name] = columns[name][at];
    this.stage = table.stages[columns.stage[at]];
    this.state = table.states[columns.state[at]];
    this.error = named(table.reasons, columns.error[at]);
    this.left = named(table.reasons, columns.left[at]);
    this.recalled = named(table.jobs, columns.recalled[at]);
    this.started = table.origin + 1000 * columns.started_s[at];
    this.finished = columns.finished_s[at] === null ? null : table.origin + 1000 * columns.finished_s[at];
    this.key = `${this.stage}-${this.number}`;
    this.isSearch = SEARCHES.includes(this.stage);
  }

  /** Site -> operator. */
  get sites() {
    return this.remember("sites", this.table.sites, (code) => this.table.operators[code]);
  }

  /** Hyperparameter -> value. */
  get recipe() {
    return this.remember("recipe", this.table.hyperparameters, (value) => value);
  }

  /** The operator at a site; undefined if the trial chose none. */
  operatorAt(path) {
    const code = this.table.sites[path]?.[this.at];
    return code === null || code === undefined ? undefined : this.table.operators[code];
  }

  /** The value of a hyperparameter; undefined if the trial has none. */
  valueOf(name) {
    return this.table.hyperparameters[name]?.[this.at] ?? undefined;
  }

  remember(name, columns, read) {
    const found = {};
    for (const key of Object.keys(columns)) {
      const value = columns[key][this.at];
      if (value !== null) found[key] = read(value);
    }
    Object.defineProperty(this, name, { value: found });
    return found;
  }
}

function named(texts, code) {
  return code === null ? null : texts[code];
}

/** The trials of a job. `version` grows with every change, so that drawings know whether they are out of date. */
export class Trials {
  constructor() {
    this.rows = [];
    this.places = new Map();
    this.version = 0;
  }

  /** Fetch all trials of a job. */
  async load(jobId) {
    const table = await get(`/v1/jobs/${jobId}/trials/columns`);
    table.origin = Date.parse(table.origin_at);
    for (let at = 0; at < table.count; at += 1) this.keep(new ColumnTrial(table, at));
    this.rows.sort((one, other) => one.started - other.started || one.number - other.number);
    this.rows.forEach((row, place) => this.places.set(row.key, place));
  }

  /** Add a trial, or replace what is known of it. */
  keep(row) {
    const place = this.places.get(row.key) ?? this.rows.length;
    this.rows[place] = row;
    this.places.set(row.key, place);
    this.version += 1;
  }

  /** Add the trial of an event. */
  put({ stage, candidate, started, ...more }) {
    const key = `${stage}-${candidate.number}`;
    const known = this.get(key);
    const isSite = (name) => stage === "activations" || name.startsWith(OPERATOR);
    const entries = Object.entries(candidate.config);
    const sites = Object.fromEntries(entries.filter(([name]) => isSite(name)).map(([name, value]) => [name.replace(OPERATOR, ""), value]));
    const recipe = Object.fromEntries(entries.filter(([name]) => !isSite(name)));
    this.keep({
      ...candidate,
      ...more,
      key,
      stage,
      isSearch: SEARCHES.includes(stage),
      started: known?.started ?? started,
      sites,
      recipe,
      operatorAt: (path) => sites[path],
      valueOf: (name) => recipe[name],
    });
  }

  /** Take in what an event says; returns true if it concerns a trial. */
  apply(event) {
    const { stage, candidate, outcome, recalled } = event.data;
    const at = Date.parse(event.at);
    if (event.kind === "trial_started") {
      this.put({ stage, candidate, started: at, finished: null, ...UNKNOWN, state: "running" });
      return true;
    }
    if (event.kind !== "trial_done") return false;
    this.put({
      stage,
      candidate,
      started: at,
      finished: at,
      state: outcome.error === null ? "done" : "failed",
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

/** True if the trial's stage searches operators. */
export function hasOperators(trial) {
  return trial.stage === "activations" || trial.stage === "joint";
}

/** True if the trial has a result that counts. */
export function isRanked(trial) {
  return trial.state === "done" && trial.accuracy !== null;
}
