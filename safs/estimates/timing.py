"""Timing of a job's trainings: real trainings, run for a second or two.

The time of a step depends on the operators at the sites (a random assignment of LeNet-5 takes 0.9 to 2 times as long as
ReLU) and on whether their scalars are learned. So four kinds of trainings are timed, and random operators repeatedly.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from statistics import fmean

import torch

from safs.data import Split
from safs.estimates.stopwatch import Lap, Stopwatch, Watched
from safs.estimates.workload import total, workload
from safs.execution.training import Training, TrainingRun
from safs.execution.work import Context
from safs.networks import Assignment, Network
from safs.preflight import Preflight
from safs.pruning.masks import prunable_parameters
from safs.spec.job import JobSpec
from safs.spec.resources import Precision
from safs.spec.training import Recipe
from safs.training.session import steps_per_epoch
from safs.training.settings import TrainingData

MOST_S = 1.5
"""Seconds of timing at most, unless the network trains not even a few images in that time."""
SHARE = 0.02
"""Timing takes at most this fraction of the job's estimated time."""
ROUNDS = 3
"""Random assignments that are timed for each kind with random operators."""
DRIFT = (0.9, 1.15)
"""Range of the pace of one training over the time of a job on an otherwise quiet machine, as factors."""
UNTIMED_DRAW = (0.7, 1.6)
"""Range of the pace of other assignments if only one was timed, as factors."""


class Kind(StrEnum):
    """Kinds of trainings with similar cost."""

    OWN = "own"
    """The network's own activations."""
    OPERATORS = "operators"
    """Random operators, as in trials of stage 1."""
    OWN_LEARNABLE = "own_learnable"
    """The network's own activations, with scalars that are learned."""
    LEARNABLE = "learnable"
    """Random operators with scalars that are learned."""


NEAREST = {Kind.OPERATORS: Kind.LEARNABLE, Kind.OWN_LEARNABLE: Kind.LEARNABLE}
"""Kind that was not timed -> a slower kind whose pace is used instead."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The cost of one training, in seconds."""

    step: Lap
    """An optimizer step at the job's batch size. Low and high cover all timed assignments."""
    validation_s: float
    """A batch of validation."""
    start_s: float
    """Before the first epoch: building and tracing the network, moving the images to the device."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The result of timing on one device."""

    paces: Mapping[Kind, Pace]
    """Pace of every kind."""
    device: str
    """``cpu, 1 thread``, or the name of a GPU."""
    gpu: str | None
    """Id of the GPU; None on a CPU."""


@dataclass(frozen=True, slots=True)
class Untimed:
    """Why nothing could be timed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Trainings:
    """The trainings to time."""

    recipe: Recipe
    augment: bool
    precision: Precision
    groups: tuple[tuple[str, ...], ...]
    """Sites that share an operator."""
    operators: tuple[str, ...]
    """Operators that random assignments are drawn from."""
    images: int
    """Images of the training split. The split that is timed may have fewer."""
    epochs: int
    """Epochs of the whole job, which limit the time spent on timing."""

    @classmethod
    def of(cls, spec: JobSpec, preflight: Preflight) -> "Trainings":
        """The trainings of a job."""
        return cls(
            Recipe(**spec.train.model_dump(exclude={"epochs"})),
            spec.data.augment == "default",
            spec.resources.precision,
            tuple(preflight.groups.values()),
            preflight.operators,
            preflight.data.train,
            total(workload(spec))[1].expected,
        )


def time_trainings(
    network: Network, split: Split, batch_size: int, device: str, *, trainings: Trainings
) -> Timing | Untimed:
    """Time trainings of ``network``'s blueprint on ``split``, of whole images; never raises.

    With ``trainings`` bound it is a ``safs.execution.executor.Measure``. Weights and sparsity do not affect the time:
    pruned weights are multiplied like all others.
    """
    try:
        return _Timer(network, split, batch_size, torch.device(device), trainings).time()
    except Exception as error:  # No job may fail because of its estimate.
        return Untimed(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")


class _Timer:
    def __init__(
        self, network: Network, split: Split, batch_size: int, device: torch.device, trainings: Trainings
    ) -> None:
        self._blueprint, self._split, self._batch_size, self._device = network.blueprint, split, batch_size, device
        self._trainings = trainings
        self._random = Random(0)
        self._size = 0
        self._full = min(batch_size, trainings.images)
        self._masks = {
            name: torch.ones_like(weight, dtype=torch.bool)
            for name, weight in prunable_parameters(network.blueprint.build(seed=0)).items()
        }

    def time(self) -> Timing:
        """Time own and learnable in any case; the other kinds and further assignments while there is time."""
        first = self._one(Kind.OWN)
        steps = self._trainings.epochs * steps_per_epoch(self._trainings.images, self._batch_size)
        began_s = time.perf_counter()
        most_s = min(MOST_S, SHARE * steps * first.step.median_s)
        found: dict[Kind, list[Pace]] = {Kind.OWN: [first], Kind.LEARNABLE: [self._one(Kind.LEARNABLE)]}
        others = (Kind.OPERATORS, Kind.OWN_LEARNABLE) + (Kind.LEARNABLE, Kind.OPERATORS) * (ROUNDS - 1)
        for kind in others:
            if time.perf_counter() - began_s > most_s:
                break
            found.setdefault(kind, []).append(self._one(kind))
        # The minimum, since the very first training includes imports.
        start_s = min(pace.start_s for paces in found.values() for pace in paces)
        paces = {kind: replace(_together(kind, several), start_s=start_s) for kind, several in found.items()}
        return Timing({kind: paces.get(kind) or paces[NEAREST[kind]] for kind in Kind}, *_named(self._device))

    def _one(self, kind: Kind) -> Pace:
        """The pace of a training of this kind, which is stopped as soon as its pace is known."""
        own = kind in (Kind.OWN, Kind.OWN_LEARNABLE)
        learnable = kind in (Kind.OWN_LEARNABLE, Kind.LEARNABLE)
        assignment: Assignment = {}
        if not own:
            drawn = [(sites, self._random.choice(self._trainings.operators)) for sites in self._trainings.groups]
            assignment = {site: operator for sites, operator in drawn for site in sites}
        share_s, images = MOST_S / (2 + 2 * ROUNDS), len(self._split)
        steps = Stopwatch(self._device, self._full, images, 0.75 * share_s, self._size)
        scoring = Stopwatch(self._device, self._full, images, 0.25 * share_s)
        context = Context(
            blueprint=self._blueprint,
            data=TrainingData(
                train=Watched(self._split, steps),
                validation=Watched(self._split, scoring),
                batch_size=self._batch_size,
                augment=self._trainings.augment,
                precision=self._trainings.precision,
            ),
            masks=None if kind is Kind.OWN else self._masks,
        )
        began_s = time.perf_counter()
        run = TrainingRun(
            context, Training(assignment, self._trainings.recipe, 1_000, 0, learnable=learnable), str(self._device)
        )
        start_s = time.perf_counter() - began_s
        while not (run.finished or (steps.enough and scoring.enough)):
            run.advance(0.0)
        if not steps.laps_s:
            raise RuntimeError(run.outcome().error or "no step was timed")
        self._size = steps.size
        step = steps.lap
        # Random weights can diverge before they are scored. A forward pass is about a third of a step.
        return Pace(step, scoring.lap.median_s if scoring.laps_s else step.median_s / 3, start_s)


def _together(kind: Kind, paces: Sequence[Pace]) -> Pace:
    """The mean of several paces of one kind, between the fastest and the slowest."""
    below, above = DRIFT if len(paces) > 1 or kind in (Kind.OWN, Kind.OWN_LEARNABLE) else UNTIMED_DRAW
    medians = [pace.step.median_s for pace in paces]
    low_s, high_s = min(pace.step.low_s for pace in paces), max(pace.step.high_s for pace in paces)
    mean_s = fmean(medians)
    return Pace(
        Lap(min(low_s, below * mean_s), mean_s, max(high_s, above * mean_s)),
        fmean(pace.validation_s for pace in paces),
        paces[0].start_s,
    )


def _named(device: torch.device) -> tuple[str, str | None]:
    """The name of the device, and the id of its GPU or None."""
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        return found.name, str(getattr(found, "uuid", found.name))
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} thread{'s' if threads > 1 else ''}", None
