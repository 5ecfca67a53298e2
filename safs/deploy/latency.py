"""The time of images on this machine's CPU, by PyTorch and by the sparse runtime."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from statistics import median

import torch
from torch import Tensor, nn

from safs.deploy.loading import sparse_network
from safs.inputs import InputSelection, WithSelectedInputs

_WARM_UPS = 1
_FEWEST_RUNS, _MOST_RUNS, _ENOUGH_S = 7, 101, 0.2
"""Runs of a measurement: the fewest and the most, and the seconds after which those between them are enough."""


def latency_ratio(
    dense: nn.Module,
    result: nn.Module,
    images: Tensor,
    inputs: InputSelection | None = None,
    *,
    alone: bool = False,
) -> float:
    """The median time of ``result`` by the sparse runtime, divided by that of ``dense`` by PyTorch; they take turns.

    PyTorch runs in the faster of its two memory layouts.

    Args:
        inputs: the part of ``images`` that ``result`` reads; None is all of it.
        alone: True to leave onnxruntime and the timings on disk aside.

    Raises:
        ExportError: torch.fx cannot trace ``result``.
        MissingExtraError: the extra ``sparse`` is not installed.
    """
    sparse: nn.Module = sparse_network(result, alone=alone)
    sparse = sparse if inputs is None else WithSelectedInputs(sparse, inputs).eval()
    channels_last = images.contiguous(memory_format=torch.channels_last)
    runs = [partial(logits, dense, images), partial(logits, dense, channels_last), partial(logits, sparse, images)]
    nchw, nhwc, sparse_s = medians(runs)
    return sparse_s / min(nchw, nhwc)


def medians(runs: Sequence[Callable[[], object]]) -> list[float]:
    """Median seconds of each function. They take turns, so that a disturbance meets all of them.

    There are 7 turns, and more, up to 101, for functions that are so fast that a disturbance is as long as a run. On
    one thread CPU time is measured, which other programs disturb less.
    """
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    times: list[list[float]] = [[] for _ in runs]
    ends_s = inf
    for turn in range(_WARM_UPS + _MOST_RUNS):
        if turn == _WARM_UPS:
            ends_s = time.perf_counter() + _ENOUGH_S
        if turn >= _WARM_UPS + _FEWEST_RUNS and time.perf_counter() > ends_s:
            break
        for run, measured in zip(runs, times, strict=True):
            begun = clock()
            run()
            if turn >= _WARM_UPS:
                measured.append(clock() - begun)
    return [median(measured) for measured in times]


@torch.inference_mode()
def logits(network: nn.Module, images: Tensor) -> Tensor:
    """The outputs of ``network`` for ``images``."""
    result: Tensor = network(images)
    return result
