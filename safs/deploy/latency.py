"""The time of images on this machine's CPU, by PyTorch and by the sparse runtime."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn

from safs.deploy.loading import sparse_network
from safs.errors import ExportError
from safs.inputs import InputSelection, WithSelectedInputs

_RUNS, _WARM_UPS = 7, 1


def dense_seconds(network: nn.Module, images: Tensor) -> float:
    """Median seconds of ``images`` by PyTorch, in the faster of its two memory layouts."""
    channels_last = images.contiguous(memory_format=torch.channels_last)
    return min(medians([partial(logits, network, images), partial(logits, network, channels_last)]))


def sparse_seconds(network: nn.Module, images: Tensor) -> float:
    """Seconds of ``images`` by the sparse runtime, with each layer in the way that is fastest on this machine.

    Raises:
        ExportError: torch.fx cannot trace the network.
        MissingExtraError: the extra ``sparse`` is not installed.
    """
    seconds: float = sparse_network(network, alone=True).seconds(images)
    return seconds


def latency_ratio(
    dense: nn.Module, result: nn.Module, images: Tensor, inputs: InputSelection | None = None
) -> float | None:
    """The median time of ``result`` by the sparse runtime, divided by that of ``dense`` by PyTorch; they take turns.

    None if the runtime cannot run ``result``.

    Args:
        inputs: the part of ``images`` that ``result`` reads; None is all of it.
    """
    sparse: nn.Module
    try:
        sparse = sparse_network(result)
    except ExportError:
        return None
    sparse = sparse if inputs is None else WithSelectedInputs(sparse, inputs).eval()
    channels_last = images.contiguous(memory_format=torch.channels_last)
    runs = [partial(logits, dense, images), partial(logits, dense, channels_last), partial(logits, sparse, images)]
    nchw, nhwc, sparse_s = medians(runs)
    return sparse_s / min(nchw, nhwc)


def medians(runs: Sequence[Callable[[], object]]) -> list[float]:
    """Median seconds of each function. They take turns, so that a disturbance meets all of them.

    On one thread CPU time is measured, which other programs disturb less.
    """
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(_WARM_UPS + _RUNS):
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
