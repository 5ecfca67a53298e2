"""A network in lanes: batches of any size, in blocks of up to 16 images, on all threads."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from safs.deploy.sparse.lanes.builder import Builder
from safs.deploy.sparse.lanes.layout import LANES
from safs.deploy.sparse.lanes.memory import Block
from safs.deploy.sparse.lanes.program import Program
from safs.deploy.sparse.steps import Step

_WORTH_A_THREAD = 1_000_000
"""Multiply-adds of vectors for which waking a thread pays: about 0.3 ms. On a busy machine it can take longer."""
BLOCK_SIZES = (16, 8, 4, 2, 1)
"""Numbers of images that a block can have."""


def block_sizes(count: int, threads: int) -> tuple[int, ...]:
    """The numbers of images that a block can have for batches of ``count`` images, largest first.

    Large blocks read weights less often; the activations of small ones fit into the caches.
    """
    largest = min(LANES, 1 << (ceil(count / threads) - 1).bit_length())
    return tuple(size for size in BLOCK_SIZES if size == largest or 4 <= size < largest)


class LaneNetwork:
    """Runs the steps of a network; one object serves one batch shape and one caller at a time.

    Args:
        steps: of the network, in order.
        ends: nodes of the images and of the logits.
        values: the value of each node for a batch of this shape.
        threads: blocks of images that run at once.
        images: images of a block, one of ``block_sizes``.

    Raises:
        UnfitStepError: if a step has no form in lanes.
    """

    def __init__(
        self, steps: Sequence[Step], ends: tuple[Node, Node], values: Mapping[Node, Any], threads: int, images: int
    ) -> None:
        self._count, self._images = len(values[ends[0]]), images
        self._blocks = ceil(self._count / images)
        self._classes = values[ends[1]].shape[1]
        built = Builder(steps, ends, values, self._images)
        self._actions = built.actions
        threads = max(1, min(threads, self._blocks, self._blocks * built.work // _WORTH_A_THREAD))
        self._memory = [Block(built.block_bytes) for _ in range(threads)]

    def __call__(self, images: Tensor) -> Tensor:
        """float32 images of the shape -> logits."""
        logits = torch.empty(self._blocks * self._images, self._classes)
        given = images.contiguous()
        missing = len(logits) - self._count
        if missing:
            given = torch.cat([given, given.new_zeros(missing, *given.shape[1:])])
        threads = len(self._memory)
        shares = [range(first, self._blocks, threads) for first in range(threads)]
        others = [
            _pool(threads).submit(self._run, given, logits, number, shares[number]) for number in range(1, threads)
        ]
        self._run(given, logits, 0, shares[0])
        for other in others:
            other.result()
        return logits[: self._count]

    @property
    def calls(self) -> int:
        """Number of actions for a block: programs, and activations in Python."""
        return len(self._actions)

    def _run(self, images: Tensor, logits: Tensor, thread: int, blocks: range) -> None:
        memory = self._memory[thread]
        for block in blocks:
            first = block * self._images
            for action in self._actions:
                if isinstance(action, Program):
                    action.run(memory.address, images[first].data_ptr(), logits[first].data_ptr())
                else:
                    action(memory.values)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="safs-lanes")
