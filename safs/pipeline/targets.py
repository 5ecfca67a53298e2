"""The sparsity of each pruning of a job: the one that the job gives, or the one that reaches its target.

The sparsity for a target is found on the dense network: its weights are chosen in one shot at one sparsity after the
other, and the cost of what is left is estimated layer by layer. The cost of the result is measured at the end.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from safs.compact.coding import encode
from safs.deploy.cpu import cpu_name
from safs.deploy.latency import dense_seconds, latency_ratio, sparse_seconds
from safs.deploy.source import compared_images
from safs.errors import SafsError
from safs.events.kinds import Note, Stage
from safs.execution.work import Context
from safs.networks import Network, assemble
from safs.pipeline.state import JobContext, KeyedNetwork
from safs.pruning.axes.distributions import sparsity_that_leaves
from safs.pruning.axes.scores import SCORES, ScoreInput
from safs.pruning.masks import Masks, prunable_parameters
from safs.pruning.protocol import PruningTask
from safs.pruning.selection.selector import FILTER, Selector, selector
from safs.reuse.keys import key_of
from safs.spec.job import JobSpec
from safs.spec.pruning import PruneSpec
from safs.spec.target import TargetSpec
from safs.targets.costs import Shape, live_in, shape_of
from safs.targets.reach import least_live, most_live, most_weights, unreachable
from safs.training.pruning_trainer import few_batches

TOLERANCES = {"flops": 0.02, "bytes": 0.02, "latency": 0.15}
"""Measure -> fraction by which the measured cost may exceed the target."""
_AIMS = {"flops": 1.0, "bytes": 0.99, "latency": 0.95}
"""Measure -> fraction of the target that is aimed at: training changes the values of weights, and times vary."""
_STEPS_OF_LATENCY = 8
"""Sparsities at which layers are timed, at most."""


@dataclass(frozen=True, slots=True)
class Found:
    """The sparsity of a pruning."""

    sparsity: float
    estimated: float | None = None
    """Estimated cost at this sparsity, in the unit of the target; None if the job gives the sparsity."""


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
        axes = {"score", "distribution", "granularity", "exclude", "sparsity_of", "keep_zeros", "method"}
        key = key_of(
            start=self._dense.key,
            prune=prune.model_dump(mode="json", include=axes),
            target=target,
            seed=self._job.spec.seed,
            machine=[cpu_name(), torch.get_num_threads()] if target.measure == "latency" else None,
        )
        if key not in self._found:
            self._found[key] = self._recalled(key) or self._find(key, prune, target)
        return self._found[key]

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

    def _recalled(self, key: str) -> Found | None:
        cached = self._job.cache.get(key)
        return None if cached is None else Found(**json.loads(cached.file.read_text()))

    def _find(self, key: str, prune: PruneSpec, target: TargetSpec) -> Found:
        found = _find(self._job, self._dense.network, prune, target, self._context)
        self._job.stage_log(Note(_sentence(found, prune, target)))
        with TemporaryDirectory(prefix="safs-target-") as folder:
            file = Path(folder) / "sparsity.json"
            file.write_text(json.dumps(asdict(found)))
            self._job.cache.put(key, Stage.PRUNE, file)
        return found


def _sentence(found: Found, prune: PruneSpec, target: TargetSpec) -> str:
    reached = f"{found.estimated:,.0f}" if target.measure == "bytes" else f"{found.estimated:.3f}"
    return (
        f"The target {target.measure} {target.value:g} takes a sparsity of {found.sparsity} with the distribution "
        f"{prune.distribution!r}; the estimate is {reached}."
    )


def _find(job: JobContext, dense: Network, prune: PruneSpec, target: TargetSpec, context: Context) -> Found:
    chooser = _Chooser(dense, prune, context, job.spec.seed)
    with torch.device("meta"):
        bare = dense.blueprint.build()
    held = {name: int((dense.state[name] == 0).sum()) for name in prunable_parameters(bare)} if prune.keep_zeros else {}
    task = PruningTask(bare, torch.zeros(chooser.example.shape, device="meta"), 0.0, prune, 1, held)
    least, aim = least_live(task), _AIMS[target.measure] * target.value
    cost = _cost_of(target, dense, chooser, shape_of(bare, task.example), job)
    if (nearest := cost(least)) > target.value:
        raise unreachable(target, nearest, f" on {cpu_name()}" if target.measure == "latency" else "")
    if target.measure == "latency":
        live = _by_halving_logarithms(lambda number: cost(number) <= aim, least, most_weights(task))
    else:
        live = most_live(lambda number: cost(number) <= aim, least, most_weights(task) + 1)
    return Found(sparsity_that_leaves(live, chooser.weights), cost(live))


def _by_halving_logarithms(holds: Callable[[int], bool], low: int, high: int) -> int:
    """As ``most_live``, in few steps that are finer where few weights are left."""
    for _ in range(_STEPS_OF_LATENCY):
        middle = round((low * high) ** 0.5)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _cost_of(
    target: TargetSpec, dense: Network, chooser: "_Chooser", shape: Shape, job: JobContext
) -> Callable[[int], float]:
    """The function from the number of live weights to the estimated cost, in the unit of the target."""
    match target.measure:
        case "flops":
            return lambda live: shape.flops_left(live_in(chooser.masks(live)))
        case "bytes":
            return lambda live: chooser.size_bytes(live) + shape.header_bytes
        case "latency":
            image = compared_images(job.splits.validation).tensor[:1]
            whole = dense_seconds(assemble(dense), image)
            return lambda live: sparse_seconds(assemble(chooser.network(live)), image) / whole


class _Chooser:
    """Chooses weights of the dense network in one shot; remembers nothing."""

    def __init__(self, dense: Network, prune: PruneSpec, context: Context, seed: int) -> None:
        self._dense, self._prune = dense, prune
        self._model = dense.blueprint.build(state=dense.state)
        data = context.data
        images, _ = next(data.validation.batches(1, device=torch.device("cpu")))
        self.example = torch.zeros_like(images[:1])
        self.weights = sum(one.numel() for one in prunable_parameters(self._model).values())
        given = ScoreInput(self._model, None, lambda: few_batches(data, seed), seed)
        self._scores: dict[str, Tensor] = SCORES[prune.score].compute(given)
        self._selector = self._new_selector(self._model)

    def masks(self, live: int) -> Masks:
        """The masks that keep ``live`` weights."""
        return self._selector.choose(self._scores, sparsity_that_leaves(live, self.weights))

    def size_bytes(self, live: int) -> int:
        """Bytes of the compact checkpoint, without its header."""
        if self._prune.granularity == FILTER:
            network = self.network(live)
            state, pruned = dict(network.state), set(network.masks or {})
        else:
            masks = self.masks(live)
            state, pruned = {name: tensor.detach() for name, tensor in self._model.state_dict().items()}, set(masks)
            # where, not multiplication: -0.1 * 0 is -0.0, which is no zero to the encoder.
            state |= {name: state[name].where(mask, state[name].new_zeros(())) for name, mask in masks.items()}
        return sum(
            min(len(encode(tensor.numpy())), tensor.nbytes) if name in pruned else tensor.nbytes
            for name, tensor in state.items()
        )

    def network(self, live: int) -> Network:
        """The network with ``live`` weights, physically smaller where the granularity is ``filter``."""
        model = self._dense.blueprint.build(state=self._dense.state)
        chosen = self._new_selector(model)
        pruned = chosen.finish(chosen.choose(self._scores, sparsity_that_leaves(live, self.weights)))
        state = {name: tensor.detach() for name, tensor in pruned.model.state_dict().items()}
        return Network(replace(self._dense.blueprint, form=pruned.form), state, pruned.masks)

    def _new_selector(self, model: nn.Module) -> Selector:
        return selector(model, self.example, self._prune)


def deployed_for(spec: JobSpec) -> tuple[list[str], str]:
    """The formats and the runtime that a job measures: those of ``deploy``, and those that its target needs."""
    formats: list[str] = [*spec.deploy.formats]
    runtime: str = spec.deploy.runtime
    measure = spec.target and spec.target.measure
    if measure == "bytes" and "compact" not in formats:
        formats.append("compact")
    return formats, "sparse" if measure == "latency" else runtime


def target_section(job: JobContext, found: Found, measured: float | None) -> dict[str, Any] | None:
    """The section ``target`` of a report: the cost that was asked for, the estimated one and the measured one.

    Adds a warning to the job if the target is missed. None if the job has no target.

    Args:
        found: sparsity of the pruning that the result started from.
        measured: cost of the result in the unit of the target; None if it could not be measured.
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
        "cpu": cpu_name() if target.measure == "latency" else None,
    }


def measured_latency(job: JobContext, dense: Network, result: Network) -> float | None:
    """The time of ``result`` by the sparse runtime as a fraction of that of ``dense`` by PyTorch, for one image."""
    image = compared_images(job.splits.validation).tensor[:1]
    return latency_ratio(assemble(dense), assemble(result), image, result.blueprint.form.inputs)
