"""The stopwatch with a clock that the tests control."""

import time

import pytest
import torch

from safs.data import TensorSplit
from safs.estimates.stopwatch import MOST_LAPS, Stopwatch, Watched

CPU = torch.device("cpu")


class Clock:
    """Wall and CPU time that pass only when a test advances them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall_s = self.cpu_s = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.wall_s)
        monkeypatch.setattr(time, "process_time", lambda: self.cpu_s)

    def spend(self, wall_s: float, cpu_s: float | None = None) -> None:
        self.wall_s += wall_s
        self.cpu_s += wall_s if cpu_s is None else cpu_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def _split(images: int) -> TensorSplit:
    pixels = torch.zeros(images, 1, 2, 2, dtype=torch.uint8)
    return TensorSplit(pixels, torch.zeros(images, dtype=torch.int64), torch.zeros(1), torch.ones(1), 2, 1, 2)


def _run(watch: Stopwatch, clock: Clock, image_s: float, *, fixed_s: float = 0.0, images: int = 10_000) -> list[int]:
    """Batch sizes of a training that takes the given time per image and per batch."""
    sizes = []
    while not watch.enough:
        for _, labels in Watched(_split(images), watch).batches(watch.full, device=CPU):
            sizes.append(len(labels))
            clock.spend(fixed_s + image_s * len(labels))
    return sizes


def test_batches_grow_to_the_full_size_and_only_full_ones_count(clock: Clock) -> None:
    watch = Stopwatch(CPU, full=64, most=10_000, most_s=100.0)

    sizes = _run(watch, clock, 0.001, fixed_s=0.01)

    # Two at each size, of which the first is not counted.
    assert sizes == [2, 2, 8, 8, 32, 32, *[64] * (1 + MOST_LAPS)]
    assert watch.lap.median_s == pytest.approx(0.01 + 0.064)


def test_a_slow_network_is_timed_on_few_images_and_extrapolated(clock: Clock) -> None:
    watch = Stopwatch(CPU, full=256, most=10_000, most_s=0.5)

    sizes = _run(watch, clock, 0.03, fixed_s=0.02)

    assert max(sizes) == 8
    assert watch.lap.median_s == pytest.approx(0.02 + 256 * 0.03)


def test_batches_grow_on_a_busy_machine(clock: Clock) -> None:
    watch = Stopwatch(CPU, full=8, most=10_000, most_s=100.0)

    for _ in range(2):
        watch.begin()
        clock.spend(5.0, cpu_s=0.01)
        watch.end(2)

    assert watch.size == 8


def test_a_split_with_fewer_images_than_a_batch_is_extrapolated_too(clock: Clock) -> None:
    watch = Stopwatch(CPU, full=100, most=50, most_s=100.0)

    sizes = _run(watch, clock, 0.001, images=50)

    assert max(sizes) == 50
    assert watch.lap.median_s == pytest.approx(0.1)


def test_the_short_last_batch_of_an_epoch_does_not_count(clock: Clock) -> None:
    watch = Stopwatch(CPU, full=2, most=5, most_s=100.0)

    _run(watch, clock, 0.01, images=5)

    assert watch.laps_s == pytest.approx([0.02] * MOST_LAPS)
