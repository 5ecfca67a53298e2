// The head of a job: its state, what is best so far against the default protocol, and what can be done with it.
import { post, ROOT } from "../core/api.js";
import { fill, h, setAttribute, setText, show } from "../core/dom.js";
import { setTitle } from "../core/frame.js";
import { age, count, duration, goal, moment, network, percent, points, sparsity } from "../core/format.js";
import { badge, progressBar, stageLabel } from "../core/states.js";

const TILES = ["best", "default", "gain", "live", "time"];

/** The head of the page; `onChange()` is called after the job was cancelled. */
export function headerPanel(model, onChange) {
  const state = badge("queued");
  const title = h("h1");
  const facts = h("p", { class: "muted facts" });
  const error = h("p", { class: "note error", role: "alert", hidden: true });
  const faults = h("p", { class: "note warning", hidden: true });
  const bar = progressBar("Progress of the job");
  const tiles = Object.fromEntries(TILES.map((name) => [name, tile()]));
  const cancel = h("button", { type: "button", class: "danger", onclick: () => ask.showModal() }, "Cancel job");
  const again = h("a", { class: "button" }, "Again with changes");
  const ask = cancelDialog(model, onChange);
  const node = h(
    "div",
    { class: "job-head" },
    h("div", { class: "page-head" }, h("div", {}, h("div", { class: "title-line" }, title, state.node), facts), h("div", { class: "actions" }, again, cancel)),
    error,
    faults,
    bar.node,
    h("div", { class: "tiles" }, ...TILES.map((name) => tiles[name].node)),
    ask,
  );

  function update() {
    const { job } = model;
    const name = job.name || `${network(job.spec)} at ${goal(job.spec)}`;
    setTitle(name);
    setText(title, name);
    state.update(job.state);
    showFacts(facts, job);
    setAttribute(again, "href", `${ROOT}/new?from=${job.id}`);
    show(cancel, "cancel" in job.links && job.state !== "cancelling");
    show(bar.node, !model.isFinal);
    bar.update(job.progress?.fraction);
    show(error, job.error !== null);
    setText(error, job.error ? `${job.error.stage ? `${stageLabel(job.error.stage)}: ` : ""}${job.error.message} (${job.error.code})` : "");
    const survived = faultsText(job.faults);
    show(faults, survived !== "");
    setText(faults, survived);
    showNumbers(tiles, model);
  }

  return { node, update };
}

function tile() {
  const label = h("span", { class: "tile-label" });
  const value = h("span", { class: "tile-value" });
  const hint = h("span", { class: "tile-hint muted" });
  const set = (name, text, more, tone) => {
    setText(label, name);
    setText(value, text || "–");
    setText(hint, more);
    setAttribute(value, "data-tone", tone);
  };
  return { node: h("div", { class: "tile" }, label, value, hint), set };
}

function showNumbers(tiles, model) {
  const { job, report, baseline } = model;
  const { result, progress } = job;
  const winner = report?.rows.find((row) => row.name === report.result);
  const standard = report?.rows.find((row) => row.name === "default");
  if (result) {
    const split = result.test_accuracy === undefined ? "validation" : "test";
    tiles.best.set("Result", percent(result[`${split}_accuracy`]), `${split} accuracy${winner ? `, ${winner.label}` : ""}`);
    tiles.default.set("Default protocol", percent(standard?.[`${split}_accuracy`]), `${split} accuracy`);
    const gain = result.gain?.[split];
    tiles.gain.set("Gain", points(gain), "over the default protocol", gain > 0 ? "good" : gain < 0 ? "bad" : null);
    tiles.live.set("Live weights", count(result.live_weights), report ? `of ${count(report.sparsity.weights)}, ${sparsity(result.sparsity)} sparse` : sparsity(result.sparsity));
  } else {
    const { best } = model;
    tiles.best.set("Best trial", percent(best?.accuracy ?? progress?.best_accuracy), best ? `validation, ${stageLabel(best.stage).toLowerCase()} ${best.number}` : "validation accuracy");
    tiles.default.set("Default protocol", percent(baseline), baseline === null ? "not trained yet" : "validation accuracy");
    tiles.gain.set("Gain", "", "known at the end");
    tiles.live.set("Target", goal(job.spec), model.stages.get("prune")?.summary?.split(",").slice(0, 2).join(",").replace(/ are left$/, " left") ?? "sparsity");
  }
  showTime(tiles.time, job);
}

function showTime(target, job) {
  const { progress } = job;
  const took = job.finished_at && job.started_at ? (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000 : null;
  if (took !== null) target.set("Took", duration(took), `ended ${age(job.finished_at)}`);
  else if (!progress) target.set("Waiting", age(job.created_at).replace(" ago", ""), "in the queue");
  else target.set("Time left", duration(progress.remaining_s), `${percent(progress.fraction, 0)} done after ${duration(progress.elapsed_s)}`);
}

function showFacts(node, job) {
  const { spec } = job;
  const parts = [
    `${network(spec)} on ${spec.data.dataset}`,
    `${goal(spec)} by ${spec.prune.method}`,
    `preset ${spec.preset}`,
    `seed ${spec.seed}`,
    job.owner ? `by ${job.owner}` : null,
    `submitted ${age(job.created_at)}`,
  ];
  const reused = Object.entries(job.reused ?? {});
  const text = parts.filter(Boolean).join(" · ");
  const wanted = `${text}|${reused.map(([stage, ids]) => stage + ids.join()).join()}`;
  if (node.dataset.shown === wanted) return;
  node.dataset.shown = wanted;
  fill(node, h("span", { title: moment(job.created_at) }, text), " · ", h("code", {}, job.id), ...reused.flatMap(([stage, ids]) => [` · ${stageLabel(stage).toLowerCase()} reused from `, ...ids.map((id) => h("a", { href: `${ROOT}/jobs/${id}` }, id))]));
}

function faultsText(faults) {
  const parts = [
    [faults.runners_lost, "runner"],
    [faults.workers_lost, "worker"],
  ].filter(([lost]) => lost > 0);
  if (!parts.length) return "";
  const lost = parts.map(([number, what]) => `${number} lost ${what}${number > 1 ? "s" : ""}`).join(" and ");
  return `Survived ${lost}: ${count(faults.trials_repeated)} trials were repeated, ${duration(faults.seconds_lost)} were lost.`;
}

function cancelDialog(model, onChange) {
  const message = h("p", {}, "Its trials stay visible; it will have no result. This cannot be undone.");
  const dialog = h(
    "dialog",
    { "aria-labelledby": "cancel-title" },
    h("h2", { id: "cancel-title" }, "Cancel this job?"),
    message,
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", onclick: () => dialog.close() }, "Keep it running"),
      h("button", { type: "button", class: "danger", onclick: confirm }, "Cancel the job"),
    ),
  );
  async function confirm() {
    try {
      model.job = await post(`/v1/jobs/${model.id}/cancel`);
      dialog.close();
      onChange();
    } catch (error) {
      setText(message, error.message);
    }
  }
  return dialog;
}
