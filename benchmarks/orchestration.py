"""What the dispatcher costs: seconds a trial beyond its own work, and the share of a search spent inside training.

    python -m benchmarks.orchestration                     both parts, some minutes
    python -m benchmarks.orchestration --part overhead     no-op trials: ours, and plain Ray Tune beside it
    python -m benchmarks.orchestration --part share        the demo's searches, on this machine

Overhead: trials that do nothing go through the real pool, conductor and asking thread, on two slots, with random
search; ``plain`` is Ray Tune by itself with reused actors. Both run in turn; figures are medians of the repetitions.
Share: seconds inside training and its evaluations, over wall seconds of the stage times slots (1 is perfect).
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray import tune

from cli.demonstration import JOB
from safs import pipeline
from safs.events import Event, Stage, StageDone, TrialDone
from safs.search import STRATEGIES
from safs.search.conductor import Conductor, window_for
from safs.spec import JobSpec
from safs.trials import Outcome
from search_spaces import SPACES
from workers.ask_ahead import AskAhead
from workers.capacity import Share, cluster_nodes, divide
from workers.orders import Parcel, PauseOrder
from workers.ray_executor import RayExecutor
from workers.ray_tune import Answered, WorkerPool
from workers.runner import start_ray
from workers.settings import WorkerSettings

SLOTS = 2
WARM_UP_TRIALS = 10
OVERHEAD_LIMIT_MS, SHARE_LIMIT = 60.0, 0.85


def main() -> None:
    """Runs the parts that were asked for and prints their tables."""
    arguments = _arguments()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, Ray {ray.__version__}")
    with tempfile.TemporaryDirectory(prefix="safs-bench-") as home:
        start_ray(WorkerSettings(home=Path(home), cpus=SLOTS))
        if arguments.part in ("both", "overhead"):
            _overhead(arguments.trials, arguments.repetitions)
        if arguments.part in ("both", "share"):
            _share()
        ray.shutdown()


def _overhead(trials: int, repetitions: int) -> None:
    kinds: dict[str, Callable[[int], float]] = {"ours": _our_seconds, "plain Ray Tune": _plain_seconds}
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(repetitions):
        for kind, seconds in kinds.items():
            found[kind].append(1000 * seconds(trials) / trials)
    print(f"\nmilliseconds a no-op trial, {SLOTS} slots: {trials} trials after {WARM_UP_TRIALS}, {repetitions} times")
    for kind, values in found.items():
        print(f"  {kind:<16} median {statistics.median(values):6.1f}   min {min(values):6.1f}   max {max(values):6.1f}")
    ours = statistics.median(found["ours"])
    print(f"  ours is {ours:.1f} ms; the limit is {OVERHEAD_LIMIT_MS:.0f} ms: {_verdict(ours <= OVERHEAD_LIMIT_MS)}")


def _our_seconds(trials: int) -> float:
    """Wall seconds of the last ``trials`` of a search over four sites by no-op workers."""
    pool = WorkerPool(tune.with_resources(_OurNoop, {"cpu": 1}), SLOTS)
    space = SPACES.activations(["a", "b", "c", "d"], ["relu", "swish", "tanh", "elu", "gelu", "acon"], 0)
    strategy = STRATEGIES["random"].make(space, trials=trials + WARM_UP_TRIALS, epochs=1, seed=0)
    running: dict[int, int] = {}
    ended: list[float] = []
    with AskAhead(Conductor(strategy, window_for(SLOTS, strategy))) as asks:
        while not asks.finished:
            while (candidate := asks.next()) is not None:
                running[pool.submit(PauseOrder(0.0))] = candidate.number
            for message in pool.receive(0.1):
                if isinstance(message, Answered):
                    asks.done(running.pop(message.ticket), message.answer)
                    ended.append(time.perf_counter())
    pool.close()
    return ended[-1] - ended[WARM_UP_TRIALS - 1]


class _OurNoop(tune.Trainable):
    """A worker that answers at once; it holds a pause, as the real one does."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._seconds = new_config["order"].seconds
        return True

    def step(self) -> dict[str, Any]:
        time.sleep(self._seconds)
        return {"epochs": (), "answer": Parcel(Outcome(0.5, {"accuracy": 0.5})), "done": True}


def _plain_seconds(trials: int) -> float:
    """The same by Ray Tune alone: its own random search, reused actors, no log files."""
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


def _share() -> None:
    spec = JobSpec.model_validate(JOB)
    inside: dict[Stage, float] = {}
    wall: dict[Stage, float] = {}
    share = divide(cluster_nodes(), spec.resources, image_size=28)

    def report(event: Event) -> None:
        if isinstance(event, TrialDone):
            inside[event.stage] = inside.get(event.stage, 0.0) + event.outcome.seconds
        if isinstance(event, StageDone):
            wall[event.stage] = event.seconds

    with tempfile.TemporaryDirectory(prefix="safs-bench-") as folder, RayExecutor(share) as executor:
        pipeline.run(
            spec,
            spaces=SPACES,
            executor=executor,
            report=report,
            data_root=None,
            dense_weights=None,
            out_dir=Path(folder),
        )
    _print_share(share, inside, wall)


def _print_share(share: Share, inside: dict[Stage, float], wall: dict[Stage, float]) -> None:
    searches = (Stage.ACTIVATIONS, Stage.TUNE)
    print(f"\nshare of wall time x {share.workers} slots inside training, in the demo's job")
    for stage in (*searches, Stage.TUNE_ALONE, Stage.FINAL):
        print(f"  {stage:<12} {inside[stage] / wall[stage] / share.workers:.2f} of {wall[stage]:.0f} s")
    both = sum(inside[stage] for stage in searches) / sum(wall[stage] for stage in searches) / share.workers
    print(f"  both searches {both:.2f}; the limit is {SHARE_LIMIT}: {_verdict(both >= SHARE_LIMIT)}")


def _verdict(kept: bool) -> str:
    return "kept" if kept else "NOT KEPT"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("both", "overhead", "share"), default="both")
    parser.add_argument("--trials", type=int, default=200, help="no-op trials a repetition (default: 200)")
    parser.add_argument("--repetitions", type=int, default=3, help="of each kind, in turn (default: 3)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
