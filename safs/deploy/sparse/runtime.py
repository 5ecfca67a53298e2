"""A network that runs each layer in the way that is fastest on this machine: dense, or sparse."""

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.fx import Node

from safs.deploy.equality import TOLERANCE
from safs.deploy.sparse.chain import Chain
from safs.deploy.sparse.dead_channels import without_dead_channels
from safs.deploy.sparse.dense_engine import DENSE_ENGINES, dense_run, is_installed
from safs.deploy.sparse.graph import steps_of
from safs.deploy.sparse.lanes.builder import UnfitStepError
from safs.deploy.sparse.lanes.network import BLOCK_SIZES, LaneNetwork, block_sizes
from safs.deploy.sparse.step_by_step import Plan, StepByStep, Value, Way
from safs.deploy.sparse.steps import Convolution, Linear
from safs.deploy.sparse.timing import cold_seconds, seconds_of
from safs.deploy.sparse.timing_files import digest, file_for, folder, read, write
from safs.deploy.sparse.ways import fastest_way, ways_of
from safs.deploy.torch_graph import TracedNetwork

LANES: Mapping[str, int] = MappingProxyType({f"lanes of {size}": size for size in BLOCK_SIZES})
"""Engine -> the images of a block."""
Engine: TypeAlias = str
"""Name in ``ENGINES``."""
ENGINES: Mapping[Engine, str] = MappingProxyType(
    {
        "steps": "layer after layer in Python, on all threads",
        "chain": "sparse layers in a row as programs, on one thread",
    }
    | dict.fromkeys(DENSE_ENGINES, "the whole network, dense")
    | {engine: f"the whole network, in blocks of {size} images or parts of images" for engine, size in LANES.items()}
)
_CLEAR_GAIN = 5
"""Gain over torch's dense layers from which other dense engines, which take seconds to prepare, are not tried."""
Run: TypeAlias = Callable[[Tensor], Tensor]
_SPARSE_DENSITY = 0.3
"""Density up to which a linear layer between sparse ones is sparse too, so that the program is not interrupted."""


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

    Args:
        model: the module of ``network``, to run it in another dense engine that is installed and faster. With it,
            timings are kept on disk (``timing_files``).
    """

    def __init__(self, network: TracedNetwork, model: nn.Module | None = None) -> None:
        super().__init__()
        self._model = (model,)  # in a tuple, since it is no part of this module
        self._digest = None if model is None else digest(str(network.graph), network.tensors)
        steps, self.output = steps_of(network)
        self.steps = without_dead_channels(steps, self.output)
        self.input = next(node for node in network.graph.nodes if node.op == "placeholder")
        self._lock = threading.Lock()
        self.timings: dict[tuple[int, ...], Timings] = {}
        """Shape of a batch, and number of threads -> its measurements."""
        self._runs: dict[tuple[int, ...], Run] = {}
        self.pad = max((s.sparse.pad for s in self.steps if isinstance(s, Convolution) and s.sparse), default=0)
        self._stepwise = StepByStep(self.steps, (self.input, self.output), self.pad)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """float32 [batch, channels, height, width] -> logits [batch, classes]."""
        with self._lock:
            key = self._key(images)
            if key not in self.timings:
                self._prepare(key, images)
            return self._runs[key](images)

    @torch.inference_mode()
    def _prepare(self, key: tuple[int, ...], images: Tensor) -> None:
        with _without_notices():
            self.timings[key], self._runs[key] = self._recalled(images) or self._timed(images)

    @torch.inference_mode()
    def run(self, images: Tensor, plan: Plan) -> Tensor:
        """The logits by a given plan."""
        with self._lock, _without_notices():
            return self._stepwise.run(images, plan)

    @torch.inference_mode()
    def values(self, images: Tensor) -> dict[Node, Value]:
        """The value of every node, computed with dense layers."""
        values: dict[Node, Value] = {}
        with self._lock, _without_notices():
            self._stepwise.run(images, self.plan("dense"), keep=values)
        return values

    @torch.inference_mode()
    def seconds(self, images: Tensor) -> float:
        """The time of a batch in the way that is fastest on this machine."""
        self.forward(images)
        return self.timings[self._key(images)].seconds

    def plan(self, way: Way) -> Plan:
        """The plan in which every step that has ``way`` uses it, and the others are dense."""
        return tuple(way if way in ways_of(step) else "dense" for step in self.steps)

    @torch.inference_mode()
    def chain(self, images: Tensor, plan: Plan) -> Run:
        """The function of batches of this shape by a given plan, with the sparse layers as programs."""
        with self._lock, _without_notices():
            return self._chain(plan, self._values(images))

    @torch.inference_mode()
    def lanes(self, images: Tensor, size: int | None = None) -> Run | None:
        """The function of batches of this shape with every layer in lanes; None if the network has no form in lanes.

        Args:
            size: images of a block; by default as many as possible.
        """
        with self._lock, _without_notices():
            size = size or block_sizes(len(images), torch.get_num_threads())[0]
            return self._in_lanes(self._values(images), size)

    def _values(self, images: Tensor) -> dict[Node, Value]:
        values: dict[Node, Value] = {}
        self._stepwise.run(images, self.plan("dense"), keep=values)
        return values

    def _chain(self, plan: Plan, values: dict[Node, Value]) -> Run:
        return Chain(self.steps, plan, (self.input, self.output), values, self.pad)

    def _in_lanes(self, values: dict[Node, Value], size: int) -> Run | None:
        try:
            return LaneNetwork(self.steps, (self.input, self.output), values, torch.get_num_threads(), size)
        except UnfitStepError:
            return None

    def _key(self, images: Tensor) -> tuple[int, ...]:
        return (*images.shape, torch.get_num_threads())

    def _timed(self, images: Tensor) -> tuple[Timings, Run]:
        """Measure the candidates, keep the timings on disk, and return the fastest."""
        values, dense = self._values(images), self.plan("dense")
        expected = self._stepwise.run(images, dense)
        seconds: dict[tuple[Engine, Plan], float] = {}
        runs: dict[tuple[Engine, Plan], Run] = {}

        def measure(engine: Engine, plan: Plan) -> None:
            run = self._runner(engine, plan, images, values)
            if run is not None and ((plan == dense and engine == "steps") or self._is_right(run, images, expected)):
                runs[engine, plan], seconds[engine, plan] = run, seconds_of(partial(run, images))

        for engine, plan in self._candidates(values):
            measure(engine, plan)
        if min(seconds.values()) > seconds["steps", dense] / _CLEAR_GAIN:
            for engine in DENSE_ENGINES:
                measure(engine, dense)
        timed = {key: partial(run, images) for key, run in runs.items()}
        cold = cold_seconds(timed, seconds, ("steps", dense))
        engine, plan = best = min(cold, key=lambda key: cold[key])
        timings = Timings(plan, engine, seconds[best], seconds["steps", dense], self._ways_of(plan))
        if self._digest is not None:
            kept = {"engine": engine, "plan": plan, "seconds": timings.seconds, "dense_seconds": timings.dense_seconds}
            write(file_for(self._digest, self._key(images)), kept)
        return timings, runs[best]

    def _recalled(self, images: Tensor) -> tuple[Timings, Run] | None:
        """The timings on disk; None if there are none, or if what was fastest then computes something else now."""
        kept = None if self._digest is None else read(file_for(self._digest, self._key(images)))
        if kept is None:
            return None
        values, dense = self._values(images), self.plan("dense")
        engine, plan = str(kept.get("engine")), tuple(map(str, kept.get("plan", ())))
        if engine not in ENGINES or len(plan) != len(self.steps):
            return None
        run = self._runner(engine, plan, images, values)
        if run is None or not self._is_right(run, images, self._stepwise.run(images, dense)):
            return None
        seconds, dense_seconds = float(kept["seconds"]), float(kept["dense_seconds"])
        return Timings(plan, engine, seconds, dense_seconds, self._ways_of(plan)), run

    def _candidates(self, values: dict[Node, Value]) -> list[tuple[Engine, Plan]]:
        """Engines and plans for the whole network; the first is dense."""
        dense, sparse = self.plan("dense"), self.plan("sparse")
        fastest = tuple(fastest_way(step, values, self._stepwise, self.pad) for step in self.steps)
        linear = tuple(
            "sparse" if isinstance(step, Linear) and step.density <= _SPARSE_DENSITY else way
            for step, way in zip(self.steps, fastest, strict=True)
        )
        steps: list[tuple[Engine, Plan]] = [
            ("steps", plan) for plan in dict.fromkeys((dense, self.plan("channels_last"), fastest, sparse))
        ]
        programs: list[tuple[Engine, Plan]] = [("chain", plan) for plan in dict.fromkeys((linear, sparse))]
        count, threads = len(values[self.input]), torch.get_num_threads()
        lanes: list[tuple[Engine, Plan]] = [(f"lanes of {size}", sparse) for size in block_sizes(count, threads)]
        return steps + lanes + [(engine, plan) for engine, plan in programs if "sparse" in plan]

    def _runner(self, engine: Engine, plan: Plan, images: Tensor, values: dict[Node, Value]) -> Run | None:
        if engine == "chain":
            return self._chain(plan, values)
        if engine in LANES:
            return self._in_lanes(values, LANES[engine])
        if engine in DENSE_ENGINES:
            model = self._model[0]
            if model is None or self._digest is None or not is_installed(engine):
                return None
            return dense_run(engine, model, images, folder() / f"{self._digest}.onnx")
        return partial(self._stepwise.run, plan=plan)

    def _ways_of(self, plan: Plan) -> dict[str, Way]:
        return {str(step.node): way for step, way in zip(self.steps, plan, strict=True) if len(ways_of(step)) > 1}

    def _is_right(self, run: Run, images: Tensor, expected: Tensor) -> bool:
        """True if ``run`` computes what the dense layers compute; warns if not."""
        difference = (run(images) - expected).abs().nan_to_num(inf).max()
        largest = expected.abs().nan_to_num(0.0, 0.0, 0.0).max()
        allowed = max(TOLERANCE * float(largest), torch.finfo(torch.float32).tiny)  # below, numbers lose their digits
        if bool(expected.isfinite().all()) and not bool(difference <= allowed):
            warnings.warn(
                f"the sparse layers compute something else than the dense ones (outputs differ by {difference:.3g}, "
                f"the largest is {largest:.3g}); batches of shape {tuple(images.shape)} run dense",
                RuntimeWarning,
                stacklevel=4,
            )
            return False
        return True


@contextmanager
def _without_notices() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR", category=UserWarning)
        yield
