"""The actor that carries out one order after another."""

import gc
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_never

import ray
import torch
from ray.exceptions import ObjectLostError, ObjectStoreFullError, OutOfDiskError

from safs.execution.runs import begin
from safs.execution.stacked import StackedRun
from safs.execution.work import Context, Resumable, Run
from safs.training.allocator import give_back_memory, keep_freed_memory
from safs.training.numerics import compute_repeatably
from safs.training.stacked.captured import CudaRecorder
from safs.trials import Outcome
from store.crash_points import reach
from telemetry import tracing
from workers.job_spans import record_trial_span
from workers.on_ray.orders import (
    MeasureOrder,
    Order,
    OutOfMemory,
    StackAnswer,
    StackOrder,
    Step,
    TrainOrder,
    Unfinished,
)
from workers.on_ray.shared_data import SharedContext, unpack

SLICE_S = 2.0
"""Shortest duration of a training's step, in seconds. Steps are whole epochs, and progress is reported per step."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class TrialActor:
    """Carries out orders, one at a time, step by step.

    Args:
        device: torch device of all trainings.
        threads: number of torch threads.
    """

    def __init__(self, device: str, threads: int) -> None:
        self._device = device
        torch.set_num_threads(threads)
        compute_repeatably(device)
        if device == "cpu":
            keep_freed_memory()
        tracing.configure("safs-trial")
        self._opened: tuple[SharedContext, Context] | None = None
        self._order: Order | None = None
        self._run: Run | StackedRun | None = None
        gc.freeze()  # The imported modules stay alive, so the collections in _release need not visit them.

    def ready(self) -> int:
        """Return the memory of this process, in bytes, once it has started."""
        return private_bytes()

    def rest(self) -> int:
        """Drop everything that belongs to the orders so far; return the memory of this process, in bytes."""
        self._opened = self._order = self._run = None
        gc.collect()
        give_back_memory()
        if self._device == "cuda":
            torch.cuda.empty_cache()
        return private_bytes()

    def step(self, order: Order | None) -> Step:
        """Begin ``order`` and do its first step; None continues the order of the last step.

        Epochs are reported as they are trained. An out-of-memory error of the device is an answer.
        """
        if order is not None:
            self._order, self._run = order, None
        try:
            step = self._work()
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            step = Step(done=True, answer=OutOfMemory(str(error).partition("\n")[0]))
        if step.done:
            self._order = self._run = None
        return step

    def _work(self) -> Step:
        match self._order:
            case TrainOrder() as order:
                return self._train(order)
            case StackOrder() as order:
                return self._train_stack(order)
            case MeasureOrder(function, network, split, batch_size):
                answer = function(ray.get(network), unpack(ray.get(split)), batch_size, self._device)
                return Step(done=True, answer=answer)
            case None:
                raise AssertionError("there is no order to continue")
            case _:
                assert_never(self._order)

    def _release(self) -> None:
        """Free the GPU memory of the last stage. torch would keep it cached, and other processes share the GPU.

        Not after each trial: the next one allocates the same again, and each allocation stops the GPU.
        """
        if self._device == "cuda":
            gc.collect()  # Optimizer and schedule reference each other.
            torch.cuda.empty_cache()

    def _train(self, order: TrainOrder) -> Step:
        if self._run is None:
            reach("trial.begin")
            self._began_ns = time.time_ns()
            self._run = begin(self._context(order.context), order.work, self._device, _taken(order.resume))
        run = self._run
        assert isinstance(run, Run)
        epochs = run.advance(SLICE_S)
        reach("trial.epoch")
        if not run.finished:
            return Step(epochs)
        reach("trial.end")
        if order.origin is not None:
            record_trial_span(order.origin, self._began_ns, run.outcome().error)
        return Step(epochs, done=True, answer=run.trained() if order.keep else _stored(run.outcome(), run.snapshot()))

    def _train_stack(self, order: StackOrder) -> Step:
        if self._run is None:
            reach("trial.begin")
            self._began_ns = time.time_ns()
            recorder = CudaRecorder() if order.recorded and self._device == "cuda" else None
            resume = [_taken(reference) for reference in order.resume]
            self._run = StackedRun(self._context(order.context), order.works, self._device, resume, recorder)
        run = self._run
        assert isinstance(run, StackedRun)
        done = run.advance(SLICE_S)
        reach("trial.epoch")
        epochs, places = tuple(metrics for _, metrics in done), tuple(place for place, _ in done)
        if not run.finished:
            return Step(epochs, places)
        reach("trial.end")
        for place, origin in enumerate(order.origins):
            if origin is not None:
                record_trial_span(origin, self._began_ns, run.outcome(place).error)
        outcomes = tuple(_stored(run.outcome(place), run.snapshot(place)) for place in range(len(order.works)))
        return Step(epochs, places, done=True, answer=StackAnswer(outcomes, run.reason, run.not_recorded))

    def _context(self, shared: SharedContext) -> Context:
        """Return the context of a stage, opened and moved to the device once for all its trials."""
        if self._opened is None or self._opened[0] != shared:
            self._opened = None
            self._release()
            context = shared.open()
            self._opened = (shared, replace(context, data=context.data.on(torch.device(self._device))))
        return self._opened[1]


def private_bytes() -> int:
    """Return the resident memory that this process shares with no other; 0 where the system does not tell."""
    try:
        resident, shared = map(int, Path("/proc/self/statm").read_text().split()[1:3])
    except OSError:
        return 0
    return (resident - shared) * PAGE_BYTES


def _taken(reference: "ray.ObjectRef[Any] | None") -> Any:
    """Return the snapshot to continue from; None if there is none, or if it was lost with its worker or node."""
    try:
        return None if reference is None else ray.get(reference)
    except ObjectLostError:
        return None


def _stored(outcome: Outcome, snapshot: Resumable | None) -> Outcome | Unfinished:
    """Return the outcome, with the snapshot if there is one and the object store has room for it."""
    if snapshot is None:
        return outcome
    try:
        return Unfinished(outcome, ray.put(snapshot), snapshot.size_bytes)
    except (ObjectStoreFullError, OutOfDiskError):
        return outcome


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Return True for an out-of-memory error of the GPU: a type of torch's allocator, or a text of CUDA's libraries."""
    texts = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in texts)
