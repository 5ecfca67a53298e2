"""The actor that carries out one order after the other under Ray Tune."""

import gc
import time
from typing import Any, assert_never

import ray
import torch
from ray import tune
from ray.exceptions import ObjectStoreFullError, OutOfDiskError

from safs.execution.pruning import begin
from safs.execution.work import Run
from safs.trials import Outcome
from store.crash_points import reach
from telemetry import tracing
from workers.job_spans import record_trial_span
from workers.on_ray.orders import LookOrder, Order, OutOfMemory, Parcel, PauseOrder, TrainOrder, Unfinished
from workers.on_ray.shared_data import SharedContext, unpack

SLICE_S = 2.0
"""A step trains whole epochs for at least this long: often enough for progress bars, seldom enough to cost nothing."""


class RayTrial(tune.Trainable):
    """Carries out what its config's ``order`` says.

    Every result has ``epochs``, those that the step trained; the last one has ``answer``, a ``Parcel``.
    """

    def setup(self, config: dict[str, Any], **bound: Any) -> None:
        """Takes what ``bind`` has bound."""
        self._device = str(bound["device"])
        torch.set_num_threads(bound["threads"])
        tracing.configure("safs-trial")
        self._opened: tuple[SharedContext, Any] | None = None
        gc.freeze()  # What was imported stays; the collections in _release need not look at it.
        self._begin(config["order"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config["order"])
        return True

    def step(self) -> dict[str, Any]:
        try:
            return self._work()
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            return _answered(OutOfMemory(str(error).partition("\n")[0]))

    def _work(self) -> dict[str, Any]:
        match self._order:
            case TrainOrder():
                return self._train()
            case LookOrder(look, network, split, batch_size):
                return _answered(look(ray.get(network), unpack(ray.get(split)), batch_size, self._device))
            case PauseOrder(seconds):
                time.sleep(seconds)
                return _answered(True)
            case _:
                assert_never(self._order)

    @classmethod
    def bind(cls, device: str, threads: int) -> Any:
        """The class with what all its actors share."""
        return tune.with_parameters(cls, device=device, threads=threads)

    def _begin(self, order: Order) -> None:
        self._order = order
        self._run: Run | None = None
        self._release()

    def _release(self) -> None:
        """Gives back what the last order had of the GPU: others share it, and torch would keep it for this process."""
        if self._device == "cuda":
            gc.collect()  # Optimizer and schedule hold each other.
            torch.cuda.empty_cache()

    def _train(self) -> dict[str, Any]:
        assert isinstance(self._order, TrainOrder)
        if self._run is None:
            reach("trial.begin")
            self._began_ns = time.time_ns()
            # Here and not in _begin: what goes wrong while a network is built belongs to this trial.
            resume = None if self._order.resume is None else self._order.resume.get()
            self._run = begin(self._context(self._order.context), self._order.work, self._device, resume)
        epochs = self._run.advance(SLICE_S)
        reach("trial.epoch")
        if not self._run.finished:
            return {"epochs": epochs, "answer": None, "done": False}
        reach("trial.end")
        if self._order.origin is not None:
            record_trial_span(self._order.origin, self._began_ns, self._run.outcome().error)
        answer = self._run.trained() if self._order.keep else _judged(self._run)
        self._run = None
        return _answered(answer, epochs)

    def _context(self, shared: SharedContext) -> Any:
        """The shared context, opened once for all the trials of a stage."""
        if self._opened is None or self._opened[0] != shared:
            self._opened = (shared, shared.open())
        return self._opened[1]


def _judged(run: Run) -> Outcome | Unfinished:
    """How well the run did, with what it leaves where there is room for it."""
    outcome, snapshot = run.outcome(), run.snapshot()
    if snapshot is None:
        return outcome
    try:
        return Unfinished(outcome, ray.put(snapshot), snapshot.size_bytes)
    except (ObjectStoreFullError, OutOfDiskError):
        return outcome


def _answered(answer: object, epochs: tuple[Any, ...] = ()) -> dict[str, Any]:
    return {"epochs": epochs, "answer": Parcel(answer), "done": True}


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether the GPU's memory did not suffice: torch's allocator says so by a type, the CUDA libraries by a text."""
    texts = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in texts)
