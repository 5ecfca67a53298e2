"""How long a job's trainings take here: real ones, begun and timed for a second or two.

What a step costs depends on the operators at the sites (a drawn assignment of LeNet-5 takes 0.9 to 2 times as long as
ReLU's) and on whether their scalars are learned, so trainings of four kinds are timed, drawn operators more than once.
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
from safs.spec.job import JobSpec, Recipe
from safs.training.session import steps_per_epoch

MOST_S = 1.5
"""Of timing, but for a network of which not even a few images are trained in so short a time."""
SHARE = 0.02
"""Of the job's own time at most."""
ROUNDS = 3
"""Assignments that are drawn for each kind that has drawn operators."""
DRIFT = (0.9, 1.15)
"""What the same training's pace drifts by on a machine that is otherwise quiet, over the time that a job takes."""
UNTIMED_DRAW = (0.7, 1.6)
"""Where the time was enough for one assignment alone: what another one may cost, as a multiple of it."""


class Kind(StrEnum):
    """Trainings that cost alike."""

    OWN = "own"
    """The network's own activations."""
    OPERATORS = "operators"
    """Operators drawn at random, as in trials of stage 1."""
    OWN_LEARNABLE = "own_learnable"
    """The network's own activations, with scalars that are learned."""
    LEARNABLE = "learnable"
    """Drawn operators with scalars that are learned."""


NEAREST = {Kind.OPERATORS: Kind.LEARNABLE, Kind.OWN_LEARNABLE: Kind.LEARNABLE}
"""What stands for a kind that there was no time for: rather too slow than too fast."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What one training costs, in seconds."""

    step: Lap
    """An optimizer step at the job's batch size; low and high are those of the drawn assignments where there are."""
    validation_s: float
    """A batch of validation."""
    start_s: float
    """Before the first epoch: building and tracing the network, moving the images to the device."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What was timed on one device."""

    paces: Mapping[Kind, Pace]
    """Of all kinds."""
    device: str
    """``cpu, 1 thread``, or the name of a GPU."""
    gpu: str | None
    """Which GPU it was, by its own id; None on a CPU."""


@dataclass(frozen=True, slots=True)
class Untimed:
    """Why nothing could be timed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Trainings:
    """What there is to be timed."""

    recipe: Recipe
    augment: bool
    groups: tuple[tuple[str, ...], ...]
    """Sites that share an operator."""
    operators: tuple[str, ...]
    """To be drawn from."""
    images: int
    """Of the training split; what is timed on may have fewer."""
    epochs: int
    """Of the whole job: little is timed of a job that itself takes little."""

    @classmethod
    def of(cls, spec: JobSpec, found: Preflight) -> "Trainings":
        """Those of a job."""
        return cls(
            Recipe(**spec.train.model_dump(exclude={"epochs"})),
            spec.data.augment == "default",
            tuple(found.groups.values()),
            found.operators,
            found.data.train,
            total(workload(spec))[1].expected,
        )


def time_trainings(
    network: Network, split: Split, batch_size: int, device: str, *, trainings: Trainings
) -> Timing | Untimed:
    """Times trainings of ``network``'s blueprint on ``split``, of whole images; never raises.

    A ``safs.execution.executor.Look`` once ``trainings`` are bound. Weights and sparsity do not matter: pruned weights
    are zeros that are multiplied like any others.
    """
    try:
        return _Timer(network, split, batch_size, torch.device(device), trainings).time()
    except Exception as error:  # An estimate is a courtesy: no job may fail for it, whatever is wrong.
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
        """Own and learnable in any case; the others, and more draws, while there is time."""
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
        start_s = min(pace.start_s for paces in found.values() for pace in paces)  # The very first one imports.
        paces = {kind: replace(_together(kind, several), start_s=start_s) for kind, several in found.items()}
        return Timing({kind: paces.get(kind) or paces[NEAREST[kind]] for kind in Kind}, *_named(self._device))

    def _one(self, kind: Kind) -> Pace:
        """A training of this kind, broken off as soon as its pace is known."""
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
            train=Watched(self._split, steps),
            validation=Watched(self._split, scoring),
            batch_size=self._batch_size,
            augment=self._trainings.augment,
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
        # Random weights may diverge before they are scored; a forward pass is about a third of a step.
        return Pace(step, scoring.lap.median_s if scoring.laps_s else step.median_s / 3, start_s)


def _together(kind: Kind, paces: Sequence[Pace]) -> Pace:
    """The mean of several draws, between the fastest and the slowest."""
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
    """What to call the device, and which GPU it is."""
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        return found.name, str(getattr(found, "uuid", found.name))
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} thread{'s' if threads > 1 else ''}", None
