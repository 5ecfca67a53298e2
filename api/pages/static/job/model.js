// Everything that the panels of a job draw from: the job, its trials, its report, and what its stages said.
import { get, Problem } from "../core/api.js";
import { FINAL } from "../core/states.js";
import { byRank, isRanked, Trials } from "./trials.js";
import { view } from "./view.js";

const TELLING = ["stage_started", "stage_done", "note", "worker_lost"];

export class JobModel {
  constructor(jobId) {
    this.id = jobId;
    this.job = null;
    this.trials = new Trials();
    this.report = null;
    this.stages = new Map();
    this.messages = [];
    this.cache = new Map();
  }

  /** Fetch the job, its trials and what its stages said. The events after `job.event_count` continue this. */
  async load() {
    this.job = await get(`/v1/jobs/${this.id}`);
    const kinds = TELLING.map((kind) => `kind=${kind}`).join("&");
    const [, told] = await Promise.all([this.trials.load(this.id), get(`/v1/jobs/${this.id}/events?limit=500&${kinds}`)]);
    for (const event of told.items) this.note(event);
  }

  /** Fetch the job again. */
  async refresh() {
    this.job = await get(`/v1/jobs/${this.id}`);
  }

  /** Fetch the report of a job that has succeeded. */
  async loadReport() {
    if (this.job.state !== "succeeded" || this.report !== null) return;
    try {
      const report = await get(`/v1/jobs/${this.id}/report`);
      if (Array.isArray(report.rows)) this.report = report;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }

  /** Take in events, in order. */
  apply(events) {
    for (const event of events) {
      if (!this.trials.apply(event)) this.note(event);
    }
  }

  /** Take in an event that concerns a stage, or is meant for people. */
  note(event) {
    if (this.messages.some((known) => known.number === event.number)) return;
    if (event.kind === "stage_started") {
      this.stages.set(event.data.stage, { ...event.data, started_at: event.at, done: false });
      return;
    }
    if (event.kind === "stage_done") {
      this.stages.set(event.data.stage, { ...this.stages.get(event.data.stage), ...event.data, done: true });
    }
    if (TELLING.includes(event.kind)) this.messages.push(event);
  }

  get isFinal() {
    return FINAL.has(this.job.state);
  }

  /** The trials of the searches that the chosen stage lets through. */
  get shown() {
    return this.remembered("shown", () => this.trials.rows.filter((trial) => trial.isSearch && (!view.stage || trial.stage === view.stage)));
  }

  /** The shown trials that are done, the best first. */
  get ranked() {
    return this.remembered("ranked", () => this.shown.filter(isRanked).sort(byRank));
  }

  /** The value of `compute()`, which is computed again only for other trials or another stage. */
  remembered(name, compute) {
    const mark = `${this.trials.version}|${view.stage}`;
    if (this.cache.get(name)?.mark !== mark) this.cache.set(name, { mark, value: compute() });
    return this.cache.get(name).value;
  }

  /** The searches that have trials, in the order of the job. */
  get searches() {
    return this.remembered("searches", () => [...new Set(this.trials.rows.filter((trial) => trial.isSearch).map((trial) => trial.stage))]);
  }

  /** The best shown trial that is done; undefined if there is none. */
  get best() {
    return this.ranked[0];
  }

  /** Validation accuracy of the default protocol; null until its training is done. */
  get baseline() {
    const row = this.report?.rows.find((one) => one.name === "default");
    if (row) return row.validation_accuracy;
    const done = this.remembered("default", () => this.trials.rows.filter((one) => one.stage === "final" && one.recipe.candidate === "default" && isRanked(one)));
    return done.length ? done.reduce((sum, one) => sum + one.accuracy, 0) / done.length : null;
  }
}
