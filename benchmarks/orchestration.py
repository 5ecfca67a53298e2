"""Overhead of the dispatcher for each trial, and the share of a search that is spent in training.

    python -m benchmarks.orchestration                     all parts, ten minutes or more
    python -m benchmarks.orchestration --part overhead     no-op trials on our dispatcher and on plain Ray Tune
    python -m benchmarks.orchestration --part load         1,000 no-op trials with 1, 2 and 8 in flight
    python -m benchmarks.orchestration --part ask          1,000 asks of random search and of SMAC, without Ray
    python -m benchmarks.orchestration --part share        the demo's job, and searches with trials of 5 s

Overhead: no-op trials run through the real pool, conductor and asking thread on two slots, with random search. "Plain"
is Ray Tune alone with reused actors. Both run in turn, and the figures are medians of the repetitions.
Load: one long search of no-op trials, with the memory of this process before and after. A no-op needs no core, so Ray
is configured with eight.
Ask: time of a strategy's ask and tell by the number of trials it knows, in the fine-tuning space with 20 categoricals
of ten values added.
Share: seconds inside trials, divided by the wall seconds of their stage times workers; 1 is ideal. It is measured for
the demo's job and for a job with trials of ``--seconds`` seconds.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import ray
from ray import tune

from benchmarks.noops import WARM_UP_TRIALS, ask, load, noop_search
from cli.demonstration import JOB
from safs.events.kinds import EpochDone, Event, Stage, StageDone, TrialDone
from safs.pipeline.run import run_job
from safs.spec.job import JobSpec
from search_spaces import SPACES
from workers.on_ray.capacity import Share, cluster_nodes, divide
from workers.on_ray.executor import RayExecutor
from workers.process import start_ray
from workers.settings import WorkerSettings

SLOTS = 2
OVERHEAD_LIMIT_MS = 3.0
SHARE_LIMITS = {"the demo's job": 0.85, "trials of 5 s": 0.95}
"""Least share of wall time x workers inside trials, by the job that is measured."""
LONG_TRIALS: dict[str, Any] = {
    "train": {"epochs": 3},
    "activations": {"trials": 10},
    "tune": {"trials": 10},
    "final": {"epochs": 3, "candidates": ["default", "safs"]},
}
"""Changes to the demo's job. The epochs of a trial are added, so that a trial takes ``--seconds``."""


def main() -> None:
    """Run the requested parts and print their tables."""
    arguments = _arguments()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, Ray {ray.__version__}")
    with tempfile.TemporaryDirectory(prefix="safs-bench-") as home:
        if arguments.part in ("all", "ask"):
            ask(arguments.long, arguments.strategies, arguments.ask_first)
        if arguments.part in ("all", "load"):
            load(Path(home), arguments.long)
        if arguments.part in ("all", "overhead", "share"):
            start_ray(WorkerSettings(home=Path(home), cpus=SLOTS))
        if arguments.part in ("all", "overhead"):
            _overhead(arguments.trials, arguments.repetitions)
        if arguments.part in ("all", "share"):
            _share(arguments.seconds)
        ray.shutdown()


def _overhead(trials: int, repetitions: int) -> None:
    kinds: dict[str, Callable[[int], float]] = {"ours": _our_seconds, "plain Ray Tune": _plain_seconds}
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(repetitions):
        for kind, seconds in kinds.items():
            found[kind].append(1000 * seconds(trials) / trials)
    print(
        f"\nmilliseconds a no-op trial, {SLOTS} slots: {trials} trials after {WARM_UP_TRIALS} of warm-up, "
        f"{repetitions} repetitions"
    )
    for kind, values in found.items():
        print(f"  {kind:<16} median {statistics.median(values):6.1f}   min {min(values):6.1f}   max {max(values):6.1f}")
    ours = statistics.median(found["ours"])
    print(f"  ours: {ours:.1f} ms; limit: {OVERHEAD_LIMIT_MS:.0f} ms; {_verdict(ours <= OVERHEAD_LIMIT_MS)}")


def _our_seconds(trials: int) -> float:
    """Wall seconds of the last ``trials`` of a search over eight sites on no-op workers."""
    ended = noop_search(trials + WARM_UP_TRIALS, SLOTS)
    return ended[-1] - ended[WARM_UP_TRIALS - 1]


def _plain_seconds(trials: int) -> float:
    """Wall seconds of the last ``trials`` of Ray Tune's random search, with reused actors and no log files."""
    os.environ |= {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    ended = _Ended()
    with tempfile.TemporaryDirectory(prefix="safs-bench-") as folder:
        tune.Tuner(
            tune.with_resources(_PlainNoop, {"cpu": 1}),
            param_space={"operator": tune.choice(["relu", "swish", "tanh", "elu", "gelu", "acon"])},
            tune_config=tune.TuneConfig(num_samples=trials + WARM_UP_TRIALS, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=folder,
                callbacks=[ended],
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    return ended.times[-1] - ended.times[WARM_UP_TRIALS - 1]


class _PlainNoop(tune.Trainable):
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        return {"loss": 0.5, "done": True}


class _Ended(tune.Callback):
    def __init__(self) -> None:
        self.times: list[float] = []

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.times.append(time.perf_counter())


def _share(seconds: float) -> None:
    _share_of("the demo's job", JobSpec.model_validate(JOB))
    epochs = _epochs_of(seconds)
    changes = LONG_TRIALS | {stage: LONG_TRIALS[stage] | {"epochs": epochs} for stage in ("activations", "tune")}
    _share_of("trials of 5 s", JobSpec.model_validate(JOB | changes))


def _share_of(name: str, spec: JobSpec) -> None:
    """Run the job and print the share of its searches, and of all its trainings, that is spent inside trials."""
    inside: dict[Stage, list[float]] = {}
    wall: dict[Stage, float] = {}
    share = divide(cluster_nodes(), spec.resources, image_size=28)

    def report(event: Event) -> None:
        if isinstance(event, TrialDone):
            inside.setdefault(event.stage, []).append(event.outcome.seconds)
        if isinstance(event, StageDone):
            wall[event.stage] = event.seconds

    began_s = time.perf_counter()
    _run(spec, share, report)
    took_s = time.perf_counter() - began_s
    searches = [stage for stage in inside if stage not in (Stage.DENSE, Stage.PRUNE, Stage.FINAL)]
    print(f"\nshare of wall time x {share.workers} workers inside trials; {name}, {took_s:.1f} s in all\n")
    print("| stage | trials | shortest, s | median, s | stage, s | share |\n|---|---|---|---|---|---|")
    for stage in [*searches, Stage.FINAL]:
        took = inside[stage]
        part = sum(took) / wall[stage] / share.workers
        times = f"{min(took):.1f} | {statistics.median(took):.1f} | {wall[stage]:.1f}"
        print(f"| {stage} | {len(took)} | {times} | {part:.2f} |")
    all_of_them = sum(sum(inside[one]) for one in searches) / sum(wall[one] for one in searches) / share.workers
    limit = SHARE_LIMITS[name]
    print(f"\nits searches {all_of_them:.2f}; the limit is {limit}: {_verdict(all_of_them >= limit)}", flush=True)


def _epochs_of(seconds: float) -> int:
    """Epochs of a trial that takes ``seconds`` on this machine, measured by a short job with as many trials at once."""
    took: list[float] = []

    def report(event: Event) -> None:
        if isinstance(event, EpochDone) and event.stage is Stage.ACTIVATIONS:
            took.append(event.metrics.seconds)

    short = {stage: LONG_TRIALS[stage] | {"epochs": 3} for stage in ("activations", "tune")}
    spec = JobSpec.model_validate(
        JOB | LONG_TRIALS | short | {"final": {"epochs": 1, "candidates": ["default", "activations"]}}
    )
    _run(spec, divide(cluster_nodes(), spec.resources, image_size=28), report)
    # The fastest quarter of the epochs, so that trials with cheap operators take at least ``seconds``, too.
    return ceil(seconds / statistics.quantiles(took, n=4)[0])


def _run(spec: JobSpec, share: Share, report: Callable[[Event], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="safs-bench-") as folder, RayExecutor(share) as executor:
        run_job(
            spec,
            spaces=SPACES,
            executor=executor,
            report=report,
            data_root=None,
            dense_weights=None,
            out_dir=Path(folder),
        )


def _verdict(passed: bool) -> str:
    return "passed" if passed else "FAILED"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    parts = ("all", "overhead", "load", "ask", "share")
    add("--part", choices=parts, default="all", help="part to run (default: all)")
    add("--trials", type=int, default=200, help="no-op trials in a repetition of overhead (default: 200)")
    add("--repetitions", type=int, default=3, help="repetitions of overhead (default: 3)")
    add("--long", type=int, default=1000, help="trials of the parts load and ask (default: 1000)")
    add("--ask-first", type=int, default=1000, help="first trials of ask that are all asked (default: 1000)")
    add("--strategies", nargs="+", default=["random", "smac"], help="strategies of ask (default: random smac)")
    add("--seconds", type=float, default=5.0, help="least seconds of a trial of share (default: 5)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
