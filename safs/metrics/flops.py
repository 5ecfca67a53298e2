"""Floating-point operations of one image's forward pass, counted by PyTorch and assigned to the weights they read.

A multiplication and an addition are two operations. PyTorch counts matrix products and convolutions; norms,
activations, pooling and sums count as none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from safs.activations.symbolic_trace import in_mode


@dataclass(frozen=True, slots=True)
class LayerFlops:
    """The operations of one weight, in all the calls that read it."""

    dense: int
    sparse: int
    """Those that are left if a zero costs nothing: ``dense`` times the weight's density."""


@dataclass(frozen=True, slots=True)
class FlopReport:
    """The operations of a network for one image."""

    dense: int
    """All of them, also those of no prunable weight, such as an attention's products."""
    sparse: int
    layers: dict[str, LayerFlops]


def count_flops(model: nn.Module, prunable: Mapping[str, nn.Parameter], image: Tensor) -> FlopReport:
    """The operations of ``model``, in eval mode, for ``image`` [1, C, H, W] on its device; the model stays as it is.

    Args:
        prunable: parameters of ``model``, each once. Those that several layers share get the operations of each.
    """
    counter = FlopCounterMode(display=False)
    # With gradients, or nn.MultiheadAttention takes a fused path whose operations PyTorch does not count.
    with in_mode(model, False), torch.enable_grad(), counter, _ByWeight(counter, model, prunable) as by_weight:
        model(image)
    layers = {name: LayerFlops(dense, _scaled(dense, prunable[name])) for name, dense in by_weight.flops.items()}
    dense = counter.get_total_flops()
    return FlopReport(dense, dense - sum(layer.dense - layer.sparse for layer in layers.values()), layers)


def _scaled(flops: int, weight: Tensor) -> int:
    return round(flops * int(weight.count_nonzero()) / weight.numel())


class _ByWeight(TorchDispatchMode):
    """Assigns what ``counter`` counts to the weight that an operation reads, as it is or standardised.

    By weight and not by module, since attention reads its output projection's weight without calling that module, and
    a traced forward no longer calls the modules that are not PyTorch's own.
    """

    def __init__(self, counter: FlopCounterMode, model: nn.Module, prunable: Mapping[str, nn.Parameter]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.flops = dict.fromkeys(prunable, 0)
        self._counter = counter
        self._constants: list[Tensor] = [*model.parameters(), *model.buffers()]
        self._weights = {_address(constant): set[str]() for constant in self._constants}
        """Memory of whatever does not depend on the image -> the prunable weights that it was made of."""
        self._weights |= {_address(weight): {name} for name, weight in prunable.items()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        before = self._counter.get_total_flops()
        result = func(*args, **(kwargs or {}))
        spent = self._counter.get_total_flops() - before
        read = {_address(value) for value in args if isinstance(value, Tensor)}
        weights = set[str]().union(*(self._weights.get(address, ()) for address in read))
        for name in weights if spent else ():
            self.flops[name] += spent
        if read and read <= self._weights.keys():
            made = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
            self._constants += made  # Kept, so that no other tensor gets their memory.
            self._weights |= {_address(constant): weights for constant in made}
        return result


def _address(tensor: Tensor) -> int:
    """Where the memory starts of which ``tensor`` is a view: a transposed weight is still that weight."""
    return tensor.untyped_storage().data_ptr()
