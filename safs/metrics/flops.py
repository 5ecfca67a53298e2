"""Floating-point operations of one image's forward pass, counted by PyTorch and assigned to weights.

A multiplication and an addition are two operations. PyTorch counts matrix products and convolutions; norms,
activations, pooling and sums count as zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from safs.modes import in_mode


@dataclass(frozen=True, slots=True)
class LayerFlops:
    """Operations of one weight, over all calls that read it."""

    dense: int
    sparse: int
    """Operations that remain if a zero costs nothing: ``dense`` times the weight's density."""


@dataclass(frozen=True, slots=True)
class FlopReport:
    """Operations of a network for one image."""

    dense: int
    """All operations, including those that read no prunable weight, such as the products of an attention."""
    sparse: int
    """Operations that remain if a zero weight costs nothing."""
    layers: dict[str, LayerFlops]


def count_flops(model: nn.Module, prunable: Mapping[str, nn.Parameter], image: Tensor) -> FlopReport:
    """Count the operations of ``model``, in eval mode, for ``image`` [1, C, H, W] on its device.

    The model is not changed.

    Args:
        prunable: parameters of ``model``, each once. A parameter that several layers share gets the operations of all.
    """
    dense, by_weight = dense_flops(model, prunable, image)
    layers = {name: LayerFlops(flops, _scaled(flops, prunable[name])) for name, flops in by_weight.items()}
    return FlopReport(dense, dense - sum(layer.dense - layer.sparse for layer in layers.values()), layers)


def dense_flops(model: nn.Module, prunable: Mapping[str, nn.Parameter], image: Tensor) -> tuple[int, dict[str, int]]:
    """As ``count_flops``, with zeros counted as weights: all operations, and those of each prunable weight.

    Model and image can be on the meta device.
    """
    # Gradients are on: without them nn.MultiheadAttention takes a fused path whose operations PyTorch does not count.
    with in_mode(model, False), torch.enable_grad(), _ByWeight(model, prunable) as by_weight:
        model(image)
    return by_weight.all_flops, by_weight.flops


def _scaled(flops: int, weight: Tensor) -> int:
    return round(flops * int(weight.count_nonzero()) / weight.numel())


class _ByWeight(TorchDispatchMode):
    """Counts operations, and assigns them to the weight that an operation reads, plain or standardised.

    Operations are assigned by weight and not by module, because attention reads the weight of its output projection
    without calling that module, and a traced forward pass calls no modules other than PyTorch's own.
    """

    def __init__(self, model: nn.Module, prunable: Mapping[str, nn.Parameter]) -> None:
        from torch.utils.flop_counter import FlopCounterMode  # imports triton, which takes 0.1 s

        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.all_flops = 0
        self.flops = dict.fromkeys(prunable, 0)
        self._formulas = FlopCounterMode(display=False).flop_registry
        self._constants: list[Tensor] = [*model.parameters(), *model.buffers()]
        self._weights = {_address(constant): set[str]() for constant in self._constants}
        """Memory address of a tensor that does not depend on the image -> the prunable weights it was computed from."""
        self._weights |= {_address(weight): {name} for name, weight in prunable.items()}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Leave out the wrapper for ``torch.compile``, which nothing here uses: it imports torch._dynamo, inductor and
        sympy, which takes a second of CPU. ``FlopCounterMode`` itself has it, so its formulas alone are used."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula: Callable[..., int] = self._formulas.get(func._overloadpacket, _nothing)
        spent = formula(*args, **kwargs, out_val=result)
        self.all_flops += spent
        read = {_address(value) for value in args if isinstance(value, Tensor)}
        weights = set[str]().union(*(self._weights.get(address, ()) for address in read))
        for name in weights if spent else ():
            self.flops[name] += spent
        if read and read <= self._weights.keys():
            made = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
            self._constants += made  # Kept alive, so that no other tensor reuses their memory.
            self._weights |= {_address(constant): weights for constant in made}
        return result


def _nothing(*_: Any, **__: Any) -> int:
    return 0


def _address(tensor: Tensor) -> int:
    """Address of the storage that ``tensor`` is a view of: a transposed weight is still that weight.

    It is that of the storage's object, since the data of all storages on the meta device have the address 0.
    """
    address: int = tensor.untyped_storage()._cdata
    return address
