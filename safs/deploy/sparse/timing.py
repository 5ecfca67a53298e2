"""The time of one run, and the fastest of several runs."""

import time
from collections.abc import Callable, Hashable, Mapping
from math import inf
from typing import TypeVar

import torch

_Key = TypeVar("_Key", bound=Hashable)
_REPEATS = 3
_TURNS = 5
_CLOSE = 1.5
"""Times the shortest time up to which a candidate is timed again."""
_OTHER_VALUES = 2**24
"""Values that fill the caches: 64 MB."""


def seconds_of(run: Callable[[], object]) -> float:
    """The shortest of a few runs: CPU time on one thread, which other programs disturb less, else wall time."""
    run()
    return min(_seconds(run) for _ in range(_REPEATS))


def cold_seconds(
    runs: Mapping[_Key, Callable[[], object]], seconds: Mapping[_Key, float], dense: _Key
) -> dict[_Key, float]:
    """The times of the fastest candidates when other data fill the caches, as other parts of a program make them do.

    Candidates take turns, so that a disturbance meets all of them.

    Args:
        runs: the candidates.
        seconds: their times when they run again and again.
        dense: the candidate that no other one may be slower than.
    """
    limit = min(seconds[dense], _CLOSE * min(seconds.values()))
    close = [key for key in runs if seconds[key] <= limit]
    if len(close) == 1:
        return {key: seconds[key] for key in close}
    other = torch.zeros(_OTHER_VALUES)
    times: dict[_Key, float] = dict.fromkeys(close, inf)
    for _ in range(_TURNS):
        for key in close:
            other.add_(1.0)
            times[key] = min(_seconds(runs[key]), times[key])
    return times


def _seconds(run: Callable[[], object]) -> float:
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    begun = clock()
    run()
    return clock() - begun
