"""Limits on a declared network, checked on the meta device: nothing is computed, and no memory is taken for values."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Interpreter, Node

from safs.errors import NetworkError, NetworkTooLargeError
from safs.graphs import GraphNetwork, graph_of
from safs.models.declared.document import MAX_INTEGER, MAX_RANK, Document
from safs.models.declared.modules import MAX_ELEMENTS

BATCHES = (2, 3)
"""Batch sizes that are tried in both modes."""
MAX_VALUES = 2**31
"""Numbers in all values of one image together, which a training keeps for the gradients."""
MAX_GFLOPS = 100.0
"""Default limit on the floating-point operations of one image's forward pass, in 10^9."""
_GROWTH = max(BATCHES) / min(BATCHES)


def check_limits(document: Document, network: GraphNetwork, *, max_gflops: float = MAX_GFLOPS) -> None:
    """Run the network on the meta device in both modes and check everything that it makes.

    Args:
        network: the document's network on the meta device.

    Raises:
        NetworkTooLargeError: a value, all values or the operations exceed a limit.
        NetworkError: the network does not run, or does not return logits [batch, classes] in both modes, or has no
            prunable weight that gets a gradient.
    """
    for training in (False, True):
        sizes = [_run(document, network, batch, training, max_gflops) for batch in BATCHES]
        _check_growth(*sizes)
    _check_gradients(network, document)


def _run(document: Document, network: GraphNetwork, batch: int, training: bool, max_gflops: float) -> list[int]:
    """Elements of each value for a batch of this size."""
    mode = "train" if training else "eval"
    measured = _Measured(network.train(training), training, batch)
    images = torch.empty(batch, document.channels, document.image_size, document.image_size, device="meta")
    from torch.utils.flop_counter import FlopCounterMode  # imports triton, which other processes need not have

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        logits = _refusing(mode, lambda: measured.run(images))
    if not isinstance(logits, Tensor) or logits.shape != (batch, document.classes) or logits.dtype != torch.float32:
        shape = f"{logits.dtype} of shape {list(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise NetworkError(
            f"the network returns {shape} in {mode} mode for {batch} images; it must return float32 logits of shape "
            f"[{batch}, {document.classes}]"
        )
    gflops = counter.get_total_flops() / batch / 1e9
    if gflops > max_gflops:
        raise NetworkTooLargeError(
            f"one image takes {gflops:,.1f} GFLOP in {mode} mode; the limit is {max_gflops:g} (SAFS_NETWORK_GFLOPS)"
        )
    if sum(measured.sizes) > batch * MAX_VALUES:
        raise NetworkTooLargeError(
            f"the values of one image have {sum(measured.sizes) // batch:,} elements together; the limit is 2**31"
        )
    return measured.sizes


class _Measured(Interpreter):
    """Runs a graph and checks each value before the next call reads it."""

    def __init__(self, network: GraphNetwork, training: bool, batch: int) -> None:
        super().__init__(network, graph=graph_of(network, training=training))
        self.sizes: list[int] = []
        """Elements of each value, in order."""
        self._batch = batch

    def run_node(self, n: Node) -> Any:
        """The value of ``n``, within the limits."""
        value = super().run_node(n)
        self.sizes.append(
            sum(self._checked(n, each) for each in (value if isinstance(value, list | tuple) else [value]))
        )
        return value

    def _checked(self, node: Node, value: Any) -> int:
        where = f"{node.target} in {node.meta.get('owner') or 'the network itself'}"
        match value:
            case Tensor():
                if value.dim() > MAX_RANK:
                    raise NetworkTooLargeError(
                        f"{where} makes a value of {value.dim()} dimensions; the limit is {MAX_RANK}"
                    )
                if value.numel() > self._batch * MAX_ELEMENTS:
                    raise NetworkTooLargeError(
                        f"{where} makes a value of {value.numel():,} elements; the limit is 2**28"
                    )
                return value.numel()
            case int() | float():
                if not abs(value) <= MAX_INTEGER:
                    raise NetworkTooLargeError(f"{where} makes the number {value}; the limit is 2**31")
                return 0
            case _:
                return 0


def _check_growth(few: list[int], many: list[int]) -> None:
    """Refuse values that grow faster than the batch, whose size only the job decides."""
    for small, large in zip(few, many, strict=True):
        if large > small * _GROWTH and large > 10_000:
            raise NetworkTooLargeError(
                f"a value has {small:,} elements for {BATCHES[0]} images and {large:,} for {BATCHES[1]}; values must "
                "not grow faster than the batch"
            )


def _check_gradients(network: GraphNetwork, document: Document) -> None:
    images = torch.empty(2, document.channels, document.image_size, document.image_size, device="meta")
    layers = [
        module for module in network.modules() if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)
    ]
    weights = [weight for module in layers if (weight := module.weight).requires_grad]
    if not weights:
        raise NetworkError("the network has no convolution or linear layer, so there is nothing to prune")

    def backward() -> Any:
        logits = network.train()(images)
        if not logits.requires_grad:
            return [None]
        return torch.autograd.grad(logits.sum(), weights, allow_unused=True)

    if all(gradient is None for gradient in _refusing("train", backward)):
        raise NetworkError("no weight of a convolution or a linear layer gets a gradient, so nothing can be trained")


def _refusing(mode: str, run: Any) -> Any:
    """``run()``; what it raises becomes a ``NetworkError``."""
    try:
        return run()
    except NetworkError:
        raise
    except Exception as error:  # operations raise whatever they like for arguments that do not fit
        first = str(error).partition("\n")[0][:300]
        raise NetworkError(f"the network does not run in {mode} mode: {type(error).__name__}: {first}") from error
