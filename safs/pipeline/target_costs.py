"""The cost of a pruned network in the unit of a job's target: estimated for a number of live weights, or measured."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from safs.compact.coding import encode
from safs.compact.file import write
from safs.deploy.latency import latency_ratio
from safs.deploy.source import compared_images
from safs.errors import ExportError
from safs.execution.work import Context
from safs.inputs import SelectInputs
from safs.metrics.flops import count_flops, dense_flops
from safs.networks import Network, assemble
from safs.pipeline.state import JobContext
from safs.pruning.axes.distributions import sparsity_that_leaves
from safs.pruning.axes.scores import SCORES, ScoreInput
from safs.pruning.masks import Masks, prunable_parameters
from safs.pruning.protocol import PruningTask
from safs.pruning.selection.selector import FILTER, Selector, selector
from safs.spec.pruning import PruneSpec
from safs.spec.target import TargetSpec
from safs.targets.costs import Shape, live_in, shape_of
from safs.targets.reach import least_live, most_live, most_weights, unreachable
from safs.training.pruning_trainer import few_batches

AIMS = {"flops": 1.0, "bytes": 0.98, "latency": 0.95}
"""Measure -> fraction of the target that is aimed at: training changes the values of weights, and times vary."""
_STEPS_OF_LATENCY = 8
"""Sparsities at which layers are timed, at most."""


class EstimatedCosts:
    """The costs of the dense network of a job if its weights are chosen in one shot on the axes of a pruning.

    Args:
        context: trainings from the dense network.
    """

    def __init__(self, job: JobContext, dense: Network, prune: PruneSpec, target: TargetSpec, context: Context) -> None:
        self._target, self._chooser = target, _Chooser(dense, prune, context, job.spec.seed)
        with torch.device("meta"):
            bare = dense.blueprint.build()
        zeros = {name: int((dense.state[name] == 0).sum()) for name in prunable_parameters(bare)}
        example = torch.zeros(self._chooser.example.shape, device="meta")
        task = PruningTask(bare, example, 0.0, prune, 1, zeros if prune.keep_zeros else {})
        self.least, self.most = least_live(task), most_weights(task)
        self._estimate = _estimates(target, dense, self._chooser, shape_of(bare, example), job)
        self._known: dict[int, float] = {}

    def of(self, live: int) -> float:
        """The estimated cost of the network with ``live`` weights in the unit of the target, the same at every call."""
        if live not in self._known:
            self._known[live] = self._estimate(live)
        return self._known[live]

    def most_within(self, cost: float) -> int:
        """The largest number of live weights whose estimated cost is at most ``cost``; ``least`` if there is none."""
        if self._target.measure == "latency":
            return self._by_halving_logarithms(cost)
        return most_live(lambda live: self.of(live) <= cost, self.least, self.most + 1)

    def sparsity(self, live: int) -> float:
        """The sparsity that leaves ``live`` weights."""
        return sparsity_that_leaves(live, self._chooser.weights)

    def check_reachable(self, where: str) -> None:
        """Raise SparsityError if the cost at the largest sparsity is above the target.

        Args:
            where: end of the sentence that the target cannot be reached, such as " on this CPU"; or empty.
        """
        if (nearest := self.of(self.least)) > self._target.value:
            raise unreachable(self._target, nearest, where)

    def _by_halving_logarithms(self, cost: float) -> int:
        """As ``most_live``, in few steps that are finer where few weights are left."""
        low, high = self.least, self.most
        for _ in range(_STEPS_OF_LATENCY):
            middle = round((low * high) ** 0.5)
            low, high = (middle, high) if self.of(middle) <= cost else (low, middle)
        return low


def measured_cost(job: JobContext, target: TargetSpec, dense: Network, network: Network) -> float | None:
    """The cost of a pruned network in the unit of the target; None if the sparse runtime cannot run it."""
    match target.measure:
        case "flops":
            return _flops(job, network) / _dense_flops(job, dense)
        case "bytes":
            with TemporaryDirectory(prefix="safs-target-") as folder:
                file = Path(folder) / "compact"
                write(file, network.state, network.masks or {}, "0" * 64, bits=32)  # with a hash of the usual length
                return file.stat().st_size
        case "latency":
            return measured_latency(job, dense, network)


def measured_latency(job: JobContext, dense: Network, network: Network) -> float | None:
    """The time of ``network`` by the sparse runtime as a fraction of that of ``dense`` by PyTorch, for one image.

    None if torch.fx cannot trace ``network``.
    """
    try:
        return latency_ratio(assemble(dense), assemble(network), _image(job), network.blueprint.form.inputs)
    except ExportError:
        return None


def _image(job: JobContext) -> Tensor:
    return compared_images(job.splits.validation).tensor[:1]


def _flops(job: JobContext, network: Network) -> int:
    image, inputs = _image(job), network.blueprint.form.inputs
    if inputs is not None:
        image = SelectInputs(inputs)(image)
    model = assemble(network)
    return count_flops(model, prunable_parameters(model), image).sparse


def _dense_flops(job: JobContext, dense: Network) -> int:
    model = assemble(dense)
    return dense_flops(model, prunable_parameters(model), _image(job))[0]


def _estimates(
    target: TargetSpec, dense: Network, chooser: "_Chooser", shape: Shape, job: JobContext
) -> Callable[[int], float]:
    """The function from the number of live weights to the estimated cost, in the unit of the target."""
    match target.measure:
        case "flops":
            return lambda live: shape.flops_left(live_in(chooser.masks(live)))
        case "bytes":
            return lambda live: chooser.size_bytes(live) + shape.header_bytes
        case "latency":
            image, whole = _image(job), assemble(dense)
            return lambda live: latency_ratio(whole, assemble(chooser.network(live)), image, alone=True)


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
