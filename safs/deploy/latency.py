"""The time of images on this machine's CPU, by PyTorch and by the sparse runtime."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from statistics import median

import torch
from torch import Tensor, nn

from safs.deploy.loading import sparse_network
from safs.inputs import InputSelection, WithSelectedInputs

_RUNS = 7
_SHORTEST_S = 0.005
"""Seconds of a run, which repeats a function that is faster: right after another program, caches are cold."""


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
    """Median seconds of each function over seven runs. They take turns, so that a disturbance meets all of them.

    A run calls a fast function several times. On one thread CPU time is measured, which other programs disturb less.
    """
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter

    def seconds(run: Callable[[], object], calls: int) -> float:
        begun = clock()
        for _ in range(calls):
            run()
        return (clock() - begun) / calls

    for run in runs:
        run()
    calls = [ceil(_SHORTEST_S / max(seconds(run, 1), _SHORTEST_S / 1000)) for run in runs]
    turns = [[seconds(run, number) for run, number in zip(runs, calls, strict=True)] for _ in range(_RUNS)]
    return [median(times) for times in zip(*turns, strict=True)]


@torch.inference_mode()
def logits(network: nn.Module, images: Tensor) -> Tensor:
    """The outputs of ``network`` for ``images``."""
    result: Tensor = network(images)
    return result
