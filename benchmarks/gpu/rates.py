"""Steps a second of one training: as the service trains, and with what it could use."""

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.gpu.problems import Size, problem, trials, wait
from safs.activations.surgery import rewire
from safs.execution.stacked import StackedRun
from safs.execution.training import TrainingRun
from safs.execution.work import Context
from safs.training import session
from safs.training.stacked.captured import CudaRecorder


def rates(network: str, size: Size, device: str) -> dict[str, Callable[[], float]]:
    """Way to train -> measurement of its steps a second."""
    context = problem(network, size, device)
    bfloat16 = replace(context, data=replace(context.data, precision="bfloat16"))
    return {
        "eager": lambda: _alone(context, size, device),
        "bfloat16": lambda: _alone(bfloat16, size, device),
        "channels-last": lambda: _channels_last(context, size, device),
        "channels-last and bfloat16": lambda: _channels_last(bfloat16, size, device),
        "stack of 2": lambda: _stacked(context, size, device, recorded=False),
        "stack of 1, recorded": lambda: _stacked(context, size, device, recorded=True),
        "forward and backward of one batch": lambda: _resident(context, size, device),
    }


def _alone(context: Context, size: Size, device: str) -> float:
    run = TrainingRun(context, trials(context.blueprint, 1, 3)[0], device)
    return _second_epoch(lambda: run.advance(0.0), size, device)


def _channels_last(context: Context, size: Size, device: str) -> float:
    """The service's session with the layout that it has on CPUs for wide networks."""
    before = session.to_fast_layout

    def channels_last(model: torch.nn.Module, where: torch.device) -> torch.nn.Module:
        return model.to(where).to(memory_format=torch.channels_last)

    session.to_fast_layout = channels_last
    try:
        return _alone(context, size, device)
    finally:
        session.to_fast_layout = before


def _stacked(context: Context, size: Size, device: str, *, recorded: bool) -> float:
    if recorded and device != "cuda":
        raise RuntimeError("steps are recorded on a GPU only")
    # Without a recorder a single training is no stack.
    count = 1 if recorded else 2
    run = StackedRun(
        context, trials(context.blueprint, count, 3), device, recorder=CudaRecorder() if recorded else None
    )
    return _second_epoch(lambda: run.advance(0.0), size, device)


def _resident(context: Context, size: Size, device: str) -> float:
    """The forward and the backward pass on one batch, again and again: no loop and no optimizer."""
    training = trials(context.blueprint, 1, 1)[0]
    model = rewire(context.blueprint.build(0), training.assignment, learnable=True).to(device).train()
    images, labels = next(context.data.train.batches(size.batch, device=torch.device(device)))

    def epoch() -> None:
        for _ in range(size.steps):
            model.zero_grad(set_to_none=True)
            torch.autograd.backward(torch.nn.functional.cross_entropy(model(images), labels))

    return _second_epoch(epoch, size, device)


def _second_epoch(epoch: Callable[[], object], size: Size, device: str) -> float:
    """Steps a second of the second epoch; the first one warms up."""
    epoch()
    wait(device)
    began = time.perf_counter()
    epoch()
    wait(device)
    return size.steps / (time.perf_counter() - began)
