"""A network that runs each layer in the way that is fastest on this machine: dense, or sparse."""

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.fx.node import map_arg

from safs.deploy.equality import TOLERANCE
from safs.deploy.sparse.chain import Chain
from safs.deploy.sparse.graph import steps_of
from safs.deploy.sparse.planes import Memory, Planes, pixel_mask, to_images, to_planes
from safs.deploy.sparse.steps import Addition, Convolution, Elementwise, Linear, Step, inputs_of, last_uses
from safs.deploy.torch_graph import TracedNetwork

Value: TypeAlias = Any
"""A tensor, ``Planes``, or what a network computes from shapes."""
Way: TypeAlias = str
"""``dense``, ``channels_last``, ``sparse`` or ``csr``."""
Plan: TypeAlias = tuple[Way, ...]
"""The way of each step."""
Engine: TypeAlias = str
"""``steps`` runs layer after layer in Python on all threads, ``chain`` runs sparse layers as programs on one thread."""
Run: TypeAlias = Callable[[Tensor], Tensor]
_REPEATS = 3
_SPARSE_DENSITY = 0.3
"""Density up to which a linear layer between sparse ones is sparse too, so that the program is not interrupted."""
_MARGIN = 0.9
"""Share of its dense time that a layer must stay below to run in another way: a change of layout takes time too."""


@dataclass(slots=True)
class Timings:
    """Measurements for one batch size."""

    plan: Plan
    engine: Engine
    seconds: float
    """One run of the network by the plan and the engine."""
    dense_seconds: float
    """One run with every layer dense."""
    ways: dict[str, Way] = field(default_factory=dict)
    """Layer -> its way in the plan, for layers that have a choice."""


class SparseNetwork(nn.Module):
    """A network for inference on CPUs, with the same outputs up to rounding.

    At the first batch of a size, each convolution and linear layer is timed in each way that it has, and then the whole
    network with the fastest ways, with every layer sparse and with every layer dense. The fastest of these is kept for
    this size, so it is never slower than dense. The weights are copies; threads take turns.
    """

    def __init__(self, network: TracedNetwork) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR", category=UserWarning)  # that they are in beta
            self.steps, self.output = steps_of(network)
        self.input = next(node for node in network.graph.nodes if node.op == "placeholder")
        self._last_use = last_uses(self.steps, self.output)
        self._lock = threading.Lock()
        self._memory = Memory()
        self.timings: dict[tuple[int, ...], Timings] = {}
        """Shape of a batch, and number of threads -> its measurements."""
        self._runs: dict[tuple[int, ...], Run] = {}
        self.pad = max((s.sparse.pad for s in self.steps if isinstance(s, Convolution) and s.sparse), default=0)
        self.eval()

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """float32 [batch, channels, height, width] -> logits [batch, classes]."""
        with self._lock:
            key = (*images.shape, torch.get_num_threads())
            if key not in self.timings:
                with _without_notices():
                    self.timings[key], self._runs[key] = self._timed(images)
            return self._runs[key](images)

    @torch.inference_mode()
    def run(self, images: Tensor, plan: Plan) -> Tensor:
        """The logits by a given plan."""
        with self._lock, _without_notices():
            return self._run(images, plan)

    @torch.inference_mode()
    def values(self, images: Tensor) -> dict[Node, Value]:
        """The value of every node, computed with dense layers."""
        values: dict[Node, Value] = {}
        with self._lock, _without_notices():
            self._run(images, self.plan("dense"), keep=values)
        return values

    @torch.inference_mode()
    def layer_seconds(self, images: Tensor) -> float:
        """The sum of the times of all steps, each measured by itself in its fastest way."""
        values: dict[Node, Value] = {}
        with self._lock, _without_notices():
            self._run(images, self.plan("dense"), keep=values)
            return sum(min(self._seconds_by_way(step, values).values()) for step in self.steps)

    def plan(self, way: Way) -> Plan:
        """The plan in which every step that has ``way`` uses it, and the others are dense."""
        return tuple(way if way in _ways(step) else "dense" for step in self.steps)

    @torch.inference_mode()
    def chain(self, images: Tensor, plan: Plan) -> Run:
        """The function of batches of this shape by a given plan, with the sparse layers as programs."""
        with self._lock, _without_notices():
            return self._chain(plan, self._values(images))

    def _values(self, images: Tensor) -> dict[Node, Value]:
        values: dict[Node, Value] = {}
        self._run(images, self.plan("dense"), keep=values)
        return values

    def _chain(self, plan: Plan, values: dict[Node, Value]) -> Run:
        return Chain(self.steps, plan, (self.input, self.output), values, self.pad)

    def _timed(self, images: Tensor) -> tuple[Timings, Run]:
        values, dense = self._values(images), self.plan("dense")
        fastest = tuple(self._fastest(step, values) for step in self.steps)
        linear = tuple(
            "sparse" if isinstance(step, Linear) and step.density <= _SPARSE_DENSITY else way
            for step, way in zip(self.steps, fastest, strict=True)
        )
        runs: dict[tuple[Engine, Plan], Run] = {
            ("steps", plan): partial(self._run, plan=plan)
            for plan in (dense, self.plan("channels_last"), fastest, self.plan("sparse"))
        }
        for plan in (linear, self.plan("sparse")):
            if "sparse" in plan:
                runs["chain", plan] = self._chain(plan, values)
        expected = runs["steps", dense](images)
        right = {key: run for key, run in runs.items() if key[1] == dense or self._is_right(run, images, expected)}
        seconds = {key: _seconds(partial(run, images)) for key, run in right.items()}
        best = min(seconds, key=lambda key: seconds[key])
        engine, plan = best
        ways = {str(step.node): way for step, way in zip(self.steps, plan, strict=True) if len(_ways(step)) > 1}
        return Timings(plan, engine, seconds[best], seconds["steps", dense], ways), right[best]

    def _is_right(self, run: Run, images: Tensor, expected: Tensor) -> bool:
        """True if ``run`` computes what the dense layers compute; warns if not."""
        difference = (run(images) - expected).abs().nan_to_num(inf).max()
        largest = expected.abs().nan_to_num(0.0, 0.0, 0.0).max()
        if bool(expected.isfinite().all()) and not bool(difference <= TOLERANCE * largest):
            warnings.warn(
                f"the sparse layers compute something else than the dense ones (outputs differ by {difference:.3g}, "
                f"the largest is {largest:.3g}); batches of shape {tuple(images.shape)} run dense",
                RuntimeWarning,
                stacklevel=4,
            )
            return False
        return True

    def _fastest(self, step: Step, values: dict[Node, Value]) -> Way:
        if len(_ways(step)) == 1:
            return "dense"
        seconds = self._seconds_by_way(step, values)
        best = min(seconds, key=lambda way: seconds[way])
        return best if seconds[best] < _MARGIN * seconds["dense"] else "dense"

    def _seconds_by_way(self, step: Step, values: dict[Node, Value]) -> dict[Way, float]:
        ways = _ways(step)
        inputs = {node: values[node] for node in inputs_of(step)}
        if isinstance(step, Convolution) and "sparse" in ways:
            assert step.sparse is not None
            if not step.sparse.takes(*inputs[step.input].shape[2:]):
                ways = tuple(way for way in ways if way != "sparse")
        seconds = {}
        for way in (way for way in ways if not (isinstance(step, Linear) and way == "sparse")):
            given = inputs
            if way == "sparse":
                given = {node: to_planes(value, self.pad) for node, value in inputs.items()}
            seconds[way] = _seconds(partial(self._compute, step, given, way))
        return seconds

    def _run(self, images: Tensor, plan: Plan, keep: dict[Node, Value] | None = None) -> Tensor:
        values: dict[Node, Value] = {self.input: images}
        for step, way in zip(self.steps, plan, strict=True):
            values[step.node] = self._compute(step, values, way)
            if keep is None:
                for node in self._last_use.get(step.node, ()):
                    self._drop(values.pop(node), values)
        if keep is not None:
            keep.update(values)
        logits: Tensor = _images(values[self.output])
        return logits

    def _drop(self, value: Value, values: dict[Node, Value]) -> None:
        """Use the memory of a value again, unless another value has it too."""
        if isinstance(value, Planes):
            others = (other.data for other in values.values() if isinstance(other, Planes))
            if all(other is not value.data for other in others):
                self._memory.give_back(value)

    def _compute(self, step: Step, values: dict[Node, Value], way: Way) -> Value:
        match step:
            case Convolution():
                return self._convolve(
                    step, values[step.input], values.get(step.residual) if step.residual else None, way
                )
            case Linear():
                x = _images(values[step.input])
                return step.csr(x) if way in ("csr", "sparse") else step.dense(x)
            case Elementwise():
                x = values[step.input]
                if not isinstance(x, Planes):
                    return step.function(x)
                y = step.function(x.data)
                return Planes(y if step.keeps_zero else y.mul_(pixel_mask(x.geometry)), x.geometry)
            case Addition():
                x, other = values[step.input], values[step.other]
                if isinstance(x, Planes) and isinstance(other, Planes) and x.geometry == other.geometry:
                    return Planes(x.data + other.data, x.geometry)
                return _images(x) + _images(other)
        arguments, named = map_arg((step.node.args, step.node.kwargs), lambda node: _images(values[node]))
        return step.run(*arguments, **named)

    def _convolve(self, step: Convolution, x: Value, residual: Value | None, way: Way) -> Value:
        size = (x.geometry.height, x.geometry.width) if isinstance(x, Planes) else x.shape[2:]
        if way != "sparse" or step.sparse is None or not step.sparse.takes(*size):
            other = None if residual is None else _images(residual)
            return step.dense(_images(x), other, channels_last=way == "channels_last")
        if residual is None:
            return step.sparse(x, None, step.fused, pad=self.pad, memory=self._memory)
        source = step.sparse.source(x, max(self.pad, step.sparse.pad))
        geometry = step.sparse.output_geometry(x, source.geometry)
        if not isinstance(residual, Planes):
            residual = to_planes(residual, geometry.pad)
        if residual.geometry == geometry:
            return step.sparse.apply(source, geometry, residual, step.fused, self._memory)
        y = _images(step.sparse(x, pad=self.pad)).add_(_images(residual))
        return y if step.activation is None else step.activation(y)


def _ways(step: Step) -> tuple[Way, ...]:
    match step:
        case Convolution(sparse=None):
            return ("dense", "channels_last")
        case Convolution():
            return ("dense", "channels_last", "sparse")
        case Linear():
            return ("dense", "csr", "sparse")
    return ("dense",)


def _images(value: Value) -> Value:
    return to_images(value) if isinstance(value, Planes) else value


def _seconds(run: Callable[[], object]) -> float:
    """The shortest of a few runs: CPU time on one thread, which other programs disturb less, else wall time."""
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    run()
    times = []
    for _ in range(_REPEATS):
        begun = clock()
        run()
        times.append(clock() - begun)
    return min(times)


@contextmanager
def _without_notices() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR", category=UserWarning)
        yield
