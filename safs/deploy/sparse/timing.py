"""The time of one run, and the fastest of several runs."""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import torch

_Key = TypeVar("_Key", bound=Hashable)
_REPEATS = 3
_TURNS = 7
_CLOSE = 1.3
"""Times the shortest time up to which a candidate is timed again."""


def seconds_of(run: Callable[[], object]) -> float:
    """The shortest of a few runs: CPU time on one thread, which other programs disturb less, else wall time."""
    run()
    return min(_seconds(run) for _ in range(_REPEATS))


def fastest(runs: Mapping[_Key, Callable[[], object]], seconds: Mapping[_Key, float]) -> dict[_Key, float]:
    """The candidates that are close to the fastest, by their shortest times in turns, in which a disturbance meets all.

    Args:
        runs: the candidates.
        seconds: their times.
    """
    close = [key for key in runs if seconds[key] <= _CLOSE * min(seconds.values())]
    if len(close) == 1:
        return {key: seconds[key] for key in close}
    turns = [[_seconds(runs[key]) for key in close] for _ in range(_TURNS)]
    return {key: min(times) for key, times in zip(close, zip(*turns, strict=True), strict=True)}


def _seconds(run: Callable[[], object]) -> float:
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    begun = clock()
    run()
    return clock() - begun
