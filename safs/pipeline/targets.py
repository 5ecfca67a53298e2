"""The sparsity of each pruning of a job: the one that the job gives, or the one that reaches its target.

The sparsity for a target is found on the dense network: its weights are chosen in one shot at one sparsity after the
other, and the cost of what is left is estimated layer by layer. The cost of the pruned network is measured. If it
misses the target, the sparsity is corrected. The cost of the result is measured at the end.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from safs.deploy.cpu import cpu_name
from safs.errors import SafsError
from safs.events.kinds import Note, Stage
from safs.execution.work import Context
from safs.networks import Network
from safs.pipeline.state import JobContext, KeyedNetwork
from safs.pipeline.target_costs import AIMS, EstimatedCosts, measured_cost
from safs.reuse.keys import key_of
from safs.spec.job import JobSpec
from safs.spec.pruning import PruneSpec
from safs.spec.target import TargetSpec

TOLERANCES = {"flops": 0.02, "bytes": 0.02, "latency": 0.15}
"""Measure -> fraction by which the measured cost of the result may exceed the target."""
_KEPT = {"flops": (0.95, 1.02), "bytes": (0.94, 0.99), "latency": (0.7, 1.15)}
"""Measure -> lowest and highest cost of a pruned network that is kept, as fractions of the target.

A network far below the target is pruned again too, since more weights would fit. Training after the pruning spreads the
values of the weights, which adds about 3% to the bytes."""
CORRECTIONS = 2
"""Prunings at a corrected sparsity, at most."""


@dataclass(frozen=True, slots=True)
class Found:
    """The sparsity of a pruning."""

    sparsity: float
    estimated: float | None = None
    """Estimated cost at this sparsity, in the unit of the target; None if the job gives the sparsity."""
    scale: float = 1.0
    """Factor of the estimates, by which an earlier pruning cost more than its estimate."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The measured cost of a pruned network."""

    sparsity: float
    estimated: float
    measured: float | None
    """Cost in the unit of the target; None if it could not be measured."""


class Sparsities:
    """The sparsity of each pruning of a job.

    Args:
        context: trainings from the dense network.
    """

    def __init__(self, job: JobContext, dense: KeyedNetwork, context: Context) -> None:
        self._job, self._dense, self._context = job, dense, context
        self._found: dict[str, Found] = {}

    def of(self, prune: PruneSpec) -> Found:
        """The sparsity of ``prune``. Prunings that differ in their schedules alone have the same.

        Raises:
            SparsityError: no sparsity reaches the target; the message has the nearest cost.
        """
        target = self._job.spec.target
        if target is None:
            assert self._job.spec.sparsity is not None
            return Found(self._job.spec.sparsity)
        key = key_of(prune=self._axes(prune), **self._common())
        if key not in self._found:
            self._found[key] = Found(**self._remembered(key, lambda: asdict(self._find(prune, target))))
        return self._found[key]

    def check(
        self, prune: PruneSpec, found: Found, pruned: KeyedNetwork, before: Sequence[Checked]
    ) -> tuple[Checked, Found | None]:
        """The measured cost of a pruned network, and the sparsity at which to repeat its pruning.

        The latter is None if the cost is near the target or cannot be measured, if no other sparsity is expected
        to be closer to the target, or after ``CORRECTIONS`` repetitions. The job has a target.

        Args:
            found: sparsity of ``pruned``, with its estimated cost.
            before: costs of the same pruning at other sparsities.
        """
        target = self._job.spec.target
        assert target is not None
        key = key_of(pruned=pruned.key, found=found, before=before, prune=self._axes(prune), **self._common())
        kept = self._remembered(key, lambda: self._check(prune, target, found, pruned.network, before))
        checked, again = Checked(**kept["checked"]), kept["again"] and Found(**kept["again"])
        if again is not None and checked.measured is not None:
            told, now = (_cost(target, cost) for cost in (found.estimated or 0.0, checked.measured))
            self._job.stage_log(
                Note(
                    f"Pruning to a sparsity of {found.sparsity} missed the target {target.measure} {target.value:g}: "
                    f"{now} measured, {told} estimated. It is repeated at {again.sparsity}."
                )
            )
        return checked, again

    def reaching(self, prunings: Mapping[str, PruneSpec]) -> dict[str, PruneSpec]:
        """The ``prunings`` that can reach the job's target.

        Raises:
            SafsError: none can; the error is that of the first.
        """
        reaching, first = {}, None
        for name, prune in prunings.items():
            try:
                self.of(prune)
            except SafsError as error:
                first = first or error
                self._job.stage_log(Note(f"{name} is not compared: {error.message}"))
            else:
                reaching[name] = prune
        if first is not None and not reaching:
            raise first
        return reaching

    def _check(
        self, prune: PruneSpec, target: TargetSpec, found: Found, network: Network, before: Sequence[Checked]
    ) -> dict[str, Any]:
        measured = measured_cost(self._job, target, self._dense.network, network)
        assert found.estimated is not None
        checked, again = Checked(found.sparsity, found.estimated, measured), None
        if measured is not None and len(before) < CORRECTIONS and not is_kept(target, measured):
            costs, scale = self._costs(prune, target), found.scale * measured / found.estimated
            live = costs.most_within(AIMS[target.measure] * target.value / scale)
            if (sparsity := costs.sparsity(live)) not in {one.sparsity for one in (*before, checked)}:
                again = asdict(Found(sparsity, scale * costs.of(live), scale))
        return {"checked": asdict(checked), "again": again}

    def _find(self, prune: PruneSpec, target: TargetSpec) -> Found:
        costs = self._costs(prune, target)
        costs.check_reachable(f" on {cpu_name()}" if target.measure == "latency" else "")
        live = costs.most_within(AIMS[target.measure] * target.value)
        found = Found(costs.sparsity(live), costs.of(live))
        self._job.stage_log(
            Note(
                f"The target {target.measure} {target.value:g} takes a sparsity of {found.sparsity} with the "
                f"distribution {prune.distribution!r}; the estimate is {_cost(target, found.estimated or 0.0)}."
            )
        )
        return found

    def _costs(self, prune: PruneSpec, target: TargetSpec) -> EstimatedCosts:
        return EstimatedCosts(self._job, self._dense.network, prune, target, self._context)

    def _axes(self, prune: PruneSpec) -> dict[str, Any]:
        axes = {"score", "distribution", "granularity", "exclude", "sparsity_of", "keep_zeros", "method"}
        return prune.model_dump(mode="json", include=axes)

    def _common(self) -> dict[str, Any]:
        """The part of a cache key that all prunings of the job share."""
        target = self._job.spec.target
        timed = target is not None and target.measure == "latency"
        return {
            "start": self._dense.key,
            "target": target,
            "seed": self._job.spec.seed,
            "machine": [cpu_name(), torch.get_num_threads()] if timed else None,
        }

    def _remembered(self, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The content under ``key`` in the cache, made and stored if it is not there.

        A resumed job needs it: a time that is measured again would give another sparsity, and other trials.
        """
        if (cached := self._job.cache.get(key)) is None:
            made = make()
            with TemporaryDirectory(prefix="safs-target-") as folder:
                file = Path(folder) / "found.json"
                file.write_text(json.dumps(made))
                self._job.cache.put(key, Stage.PRUNE, file)
            return made
        content: dict[str, Any] = json.loads(cached.file.read_text())
        return content


def is_kept(target: TargetSpec, cost: float) -> bool:
    """True if a pruned network with this cost is not pruned again."""
    low, high = _KEPT[target.measure]
    return low <= cost / target.value <= high


def nearest(target: TargetSpec, costs: Sequence[Checked]) -> int:
    """The place of the cost that is nearest to the target: of those that are kept, else of those below it, else all."""

    def order(place: int) -> tuple[bool, bool, float]:
        cost = costs[place].measured
        if cost is None:
            return True, True, float("inf")
        return not is_kept(target, cost), cost > target.value, abs(cost - target.value)

    return min(range(len(costs)), key=order)


def _cost(target: TargetSpec, cost: float) -> str:
    return f"{cost:,.0f}" if target.measure == "bytes" else f"{cost:.3f}"


def deployed_for(spec: JobSpec) -> tuple[list[str], str]:
    """The formats and the runtime that a job measures: those of ``deploy``, and those that its target needs."""
    formats: list[str] = [*spec.deploy.formats]
    runtime: str = spec.deploy.runtime
    measure = spec.target and spec.target.measure
    if measure == "bytes" and "compact" not in formats:
        formats.append("compact")
    return formats, "sparse" if measure == "latency" else runtime


def target_section(
    job: JobContext, found: Found, measured: float | None, prunings: Sequence[Checked]
) -> dict[str, Any] | None:
    """The section ``target`` of a report: the cost that was asked for, the estimated one and the measured one.

    Adds a warning to the job if the target is missed. None if the job has no target.

    Args:
        found: sparsity of the pruning that the result started from.
        measured: cost of the result in the unit of the target; None if it could not be measured.
        prunings: costs of the prunings that were made for the target, in their order.
    """
    target = job.spec.target
    if target is None:
        return None
    reached = measured is not None and measured <= target.value * (1 + TOLERANCES[target.measure])
    if not reached:
        told = "could not be measured" if measured is None else f"is {measured:.4g}"
        job.stage_log(
            Note(
                f"The result's {target.measure} {told}; the target is {target.value:g}, and the estimate was "
                f"{found.estimated:.4g}. Lower the target, or give a sparsity above {found.sparsity}.",
                "warning",
            )
        )
    return {
        "measure": target.measure,
        "asked": target.value,
        "estimated": found.estimated,
        "measured": measured,
        "tolerance": TOLERANCES[target.measure],
        "reached": reached,
        "sparsity": found.sparsity,
        "prunings": [asdict(one) for one in prunings],
        "cpu": cpu_name() if target.measure == "latency" else None,
    }
