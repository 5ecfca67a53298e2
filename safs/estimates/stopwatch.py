"""A stopwatch inside a training: a split that times its batches and ends as soon as enough are timed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import quantiles

import torch
from torch import Tensor

from safs.data.wrapped_split import WrappedSplit

FIRST_SIZE = 2
"""Images of the first batch. Batch norm needs two."""
GROWTH = 4
"""Factor between the sizes of batches."""
LONGEST_LAP_S = 0.1
"""Batches grow while a lap takes no longer. If they do not reach the full size, its time is extrapolated."""
LEAST_LAPS, MOST_LAPS = 3, 12


@dataclass(frozen=True, slots=True)
class Lap:
    """Quartiles of the time of a full batch, in seconds."""

    low_s: float
    median_s: float
    high_s: float


@dataclass(slots=True)
class Stopwatch:
    """Time batches of growing size up to the full size, or up to the largest that the time allows.

    A lap lasts from the request of a batch to the request of the next one: reading the batch, and everything that the
    training does with it. The first lap at each size is not counted, since it includes work that is done once.
    """

    device: torch.device
    full: int
    """Images of a full batch."""
    most: int
    """Images of the whole split."""
    most_s: float
    """Seconds after which no lap begins, once one lap is counted."""
    size: int = 0
    """Images of the next batch; 0 begins with ``FIRST_SIZE``."""
    laps_s: list[float] = field(default_factory=list)
    """Laps of batches of ``size``, in seconds."""
    _smaller: tuple[int, float] = (0, 0.0)
    """The previous size, and the seconds of a lap at that size."""
    _warm: bool = False
    _began_s: float = 0.0
    _last_s: float = 0.0
    _last_cpu_s: float = 0.0

    def __post_init__(self) -> None:
        self.size = min(self.size or FIRST_SIZE, self.full, self.most)
        self._began_s = time.perf_counter()

    @property
    def enough(self) -> bool:
        """True if there are enough laps for a median."""
        spent_s = time.perf_counter() - self._began_s
        fewest = 1 if spent_s > 2 * self.most_s else LEAST_LAPS
        return len(self.laps_s) >= (fewest if spent_s > self.most_s else MOST_LAPS)

    @property
    def lap(self) -> Lap:
        """The time of a full batch, extrapolated linearly from the two largest sizes if they are smaller."""
        low_s, median_s, high_s = quantiles(self.laps_s * 2, n=4, method="inclusive")
        size, before_s = self._smaller
        slope = (median_s - before_s) / (self.size - size)
        scale = 1 + max(slope, 0.0) * (self.full - self.size) / median_s
        return Lap(scale * low_s, scale * median_s, scale * high_s)

    def begin(self) -> None:
        """Start a lap."""
        self._last_s, self._last_cpu_s = self._now_s(), time.process_time()

    def end(self, size: int) -> None:
        """End the lap of a batch of ``size`` images and start the next one."""
        now_s, cpu_s = self._now_s(), time.process_time()
        lap_s, lap_cpu_s = now_s - self._last_s, cpu_s - self._last_cpu_s
        self._last_s, self._last_cpu_s = now_s, cpu_s
        if size < self.size:  # The last batch of an epoch is smaller.
            return
        if not self._warm:
            self._warm = True
            return
        self.laps_s.append(lap_s)
        larger = min(self.full, self.most, GROWTH * self.size)
        # On a busy machine even a small batch can take long; CPU time tells that the batch is not too large.
        if larger > self.size and min(lap_s, lap_cpu_s) <= LONGEST_LAP_S:
            self._smaller = self.size, lap_s
            self.size, self.laps_s, self._warm = larger, [], False

    def _now_s(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


@dataclass(frozen=True, slots=True)
class Watched(WrappedSplit):
    """A split whose batches a stopwatch times."""

    watch: Stopwatch

    def batches(
        self,
        batch_size: int,
        *,
        device: torch.device,
        generator: torch.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        self.watch.begin()
        for images, labels in self.split.batches(batch_size, device=device, generator=generator, augment=augment):
            size = min(self.watch.size, len(labels))
            yield images[:size], labels[:size]
            self.watch.end(size)
            if self.watch.enough:
                return
