"""Thousands of no-op trials and thousands of asks: two parts of ``benchmarks.orchestration``."""

import gc
import os
import random
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import ray
from ConfigSpace import Categorical

from safs.search import STRATEGIES
from safs.search.conductor import Conductor, window_for
from safs.search.strategy import plain_config
from safs.spec.training import TrainSpec
from safs.trials import Candidate, Config, Outcome
from search_spaces import SPACES
from workers.on_ray.actor_pool import ActorPool
from workers.on_ray.ask_ahead import AskAhead
from workers.on_ray.capacity import Share
from workers.on_ray.messages import Answered
from workers.on_ray.orders import Step
from workers.on_ray.packing import PackedPool
from workers.process import start_ray
from workers.settings import WorkerSettings

IN_FLIGHT = (1, 2, 8)
BIN, SAMPLED = 100, 5
WARM_UP_TRIALS = 10
NO_ORDER: Any = None
"""Order of a no-op trial."""


def load(home: Path, trials: int) -> None:
    """Print time and memory growth of ``trials`` no-op trials with 1, 2 and 8 in flight."""
    start_ray(WorkerSettings(home=home, cpus=max(IN_FLIGHT)))
    noop_search(WARM_UP_TRIALS, 1)  # Imports and one-time setup do not count as growth.
    print(f"\n{trials:,} no-op trials, random search over eight sites\n")
    print("| in flight | ms a trial | first 100 | last 100 | driver before, MiB | after, MiB | KiB a trial |")
    print("|---|---|---|---|---|---|---|")
    for in_flight in IN_FLIGHT:
        before = _resident_bytes()
        ended = noop_search(trials, in_flight)
        after = _resident_bytes()
        took = [1000 * (ended[last] - ended[first]) / (last - first) for first, last in _spans(len(ended))]
        times = " | ".join(f"{one:.1f}" for one in took)
        memory = f"{before / 2**20:.0f} | {after / 2**20:.0f} | {(after - before) / 1024 / trials:.1f}"
        print(f"| {in_flight} | {times} | {memory} |", flush=True)
    ray.shutdown()


def _spans(trials: int) -> tuple[tuple[int, int], ...]:
    """Index ranges of all trials, the first and the last hundred, without the trials that start the workers."""
    first = WARM_UP_TRIALS - 1
    return (first, trials - 1), (first, min(first + BIN, trials - 1)), (max(trials - 1 - BIN, 0), trials - 1)


def _resident_bytes() -> int:
    """Resident memory of this process after a garbage collection, in bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def ask(trials: int, names: list[str], ask_first: int) -> None:
    """Print the time of an ask and its tell by the number of trials that the strategy knows.

    Args:
        ask_first: number of first trials that are all asked. Of every hundred later trials, ``SAMPLED`` are asked, and
            the strategy is told of the others as foreign trials.
    """
    print(f"\nmilliseconds of an ask and its tell, means of {BIN} trials ({SAMPLED} of them from {ask_first} on)\n")
    print("| trials | " + " | ".join(f"{name} | {name}, CPU" for name in names) + " |")
    print("|---" * (1 + 2 * len(names)) + "|")
    columns = [_ask_ms(name, trials, ask_first) for name in names]
    for number, row in enumerate(zip(*columns, strict=False)):
        cells = " | ".join(f"{wall:.1f} | {cpu:.1f}" for wall, cpu in row)
        print(f"| {number * BIN + 1} to {(number + 1) * BIN} | {cells} |")


def noop_search(trials: int, in_flight: int) -> list[float]:
    """Run a random search on no-op workers; return the time at which each trial ended, by ``perf_counter``."""
    share = Share(slots=in_flight, workers=in_flight, cpus=1, gpus=0.0)
    pool = PackedPool(share, lambda one: ActorPool(ray.remote(num_cpus=1)(Noop).remote, one.workers))
    sites = [f"site{number}" for number in range(8)]
    space = SPACES.activations(sites, ["relu", "swish", "tanh", "elu", "gelu", "acon"], 0)
    strategy = STRATEGIES["random"].make(space, trials=trials, epochs=1, seed=0)
    running: dict[int, int] = {}
    ended: list[float] = []
    with AskAhead(Conductor(strategy, window_for(in_flight, strategy))) as asks:
        while not asks.finished:
            while (candidate := asks.next()) is not None:
                running[pool.submit(NO_ORDER)] = candidate.number
            for message in pool.receive(0.1):
                if isinstance(message, Answered):
                    asks.done(running.pop(message.ticket), message.answer)
                    ended.append(time.perf_counter())
    pool.close()
    return ended


class Noop:
    """A worker that answers every order at once."""

    def ready(self) -> None:
        """Return once the worker has started."""

    def step(self, order: Any) -> Step:
        """Answer with a fixed outcome."""
        return Step(done=True, answer=Outcome(0.5, {"accuracy": 0.5}))


def _ask_ms(name: str, trials: int, ask_first: int) -> list[tuple[float, float]]:
    """Wall and CPU milliseconds of an ask and its tell, as means of a hundred trials."""
    space = SPACES.fine_tuning(TrainSpec(), 0)
    space.add([Categorical(f"site{number}", [f"operator{one}" for one in range(10)]) for number in range(20)])
    strategy = STRATEGIES[name].make(space, trials=trials, epochs=8, seed=0)
    means = []
    for first in range(0, trials - BIN + 1, BIN):
        took = []
        for number in range(first, first + BIN):
            if number >= ask_first and number % BIN >= SAMPLED:
                config = plain_config(space.sample_configuration())
                strategy.tell(Candidate(number, config, 8, 0), Outcome(_loss(config), {"accuracy": 0.5}))
                continue
            wall, cpu = time.perf_counter(), time.process_time()
            candidate = strategy.ask()
            assert candidate is not None
            strategy.tell(candidate, Outcome(_loss(candidate.config), {"accuracy": 0.5}))
            took.append((time.perf_counter() - wall, time.process_time() - cpu))
        means.append((1000 * fmean(wall for wall, _ in took), 1000 * fmean(cpu for _, cpu in took)))
        print(f"{name}, {first + BIN} trials: {means[-1][0]:.1f} ms", file=sys.stderr, flush=True)
    return means


def _loss(config: Config) -> float:
    """A loss that is a mean over the sites, the same in every process."""
    sites = [name for name in config if name.startswith("site")]
    return sum(random.Random(f"{name} {config[name]}").random() for name in sites) / len(sites)
