"""A second device without a GPU: its tensors are stored on the CPU and refuse to meet tensors of another device.

Every operation is computed for real, so results can be compared with those of the CPU. As on a GPU, an operation on
tensors of two devices raises, and so does a random draw on the device from a generator of the CPU. Each read of a value
by the host, which would make the host wait for a GPU, is recorded.

The device is called ``meta``, because PyTorch's autograd accepts no other device without a driver.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("meta")
_CPU = torch.device("cpu")
_aten = torch.ops.aten
# In inference mode, the composite operations (``to``, ``item``) arrive as they are.
_COPIES = {_aten._to_copy, _aten.copy_, _aten.to}
_READS = {_aten._local_scalar_dense, _aten.item, _aten.is_nonzero, _aten.nonzero, _aten.masked_select, _aten.equal}


class DeviceTensor(Tensor):
    """A tensor on the simulated device."""

    stored: Tensor

    @staticmethod
    def __new__(cls, stored: Tensor) -> "DeviceTensor":
        made = Tensor._make_wrapper_subclass(
            cls,
            stored.shape,
            strides=stored.stride(),
            storage_offset=stored.storage_offset(),
            dtype=stored.dtype,
            device=DEVICE,
        )
        made.stored = stored
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"DeviceTensor({self.stored!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise AssertionError("a tensor of the device was pickled")

    def tolist(self) -> Any:
        return self.cpu().tolist()  # PyTorch refuses this for subclasses.

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, [])


_SEEDS_OF_THE_DEVICE = 2**40
"""Added to the seeds of the device's generators, because PyTorch passes operations a copy of a generator's object."""


class Generator(torch.Generator):
    """A random generator of the CPU or of the simulated device."""

    def __new__(cls, device: torch.device | str = _CPU) -> "Generator":
        return super().__new__(cls)

    def __init__(self, device: torch.device | str = _CPU) -> None:
        self._offset = _SEEDS_OF_THE_DEVICE if torch.device(device) == DEVICE else 0

    def manual_seed(self, seed: int) -> "Generator":
        super().manual_seed(seed + self._offset)
        return self


def _tensor(data: Any, *, device: torch.device | str | None = None, **options: Any) -> Tensor:
    """``torch.tensor``, which creates its tensor without asking a dispatch mode."""
    made = _made_by_torch(data, **options)
    return made if device is None else made.to(device)


_made_by_torch = torch.tensor


@dataclass
class SimulatedDevice(TorchDispatchMode):
    """The device, while its context is open."""

    reads: list[str] = field(default_factory=list)
    """Operations that read values of the device on the host."""

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(_on_device(leaf) for leaf in tree_leaves((args, kwargs))):
            return _run(func, args, kwargs, self.reads)
        return func(*args, **kwargs)


@contextmanager
def simulated_device() -> Iterator[SimulatedDevice]:
    """Within the block, tensors on ``DEVICE`` are those of the simulated device."""
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    supported = patch("torch.optim.optimizer._get_fused_kernels_supported_devices", lambda: ["cpu", "meta"])
    try:
        with (
            supported,
            patch("torch.Generator", Generator),
            patch("torch.tensor", _tensor),
            SimulatedDevice() as device,
        ):
            yield device
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swaps)


def _run(func: Any, args: Any, kwargs: dict[str, Any], reads: list[str]) -> Any:
    leaves = tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    on_device = [tensor for tensor in tensors if isinstance(tensor, DeviceTensor)]
    named = [leaf for leaf in leaves if isinstance(leaf, torch.device)]
    goes_to = named[0] if named else DEVICE if on_device else _CPU
    copies = func.overloadpacket in _COPIES
    if on_device and not copies:
        # As on a GPU, a scalar of the CPU may meet tensors of the device.
        strays = [tensor for tensor in tensors if not isinstance(tensor, DeviceTensor) and tensor.ndim]
        if strays:
            raise RuntimeError(f"{func}: expected all tensors to be on the same device, found one on the CPU")
    generators = [leaf for leaf in leaves if isinstance(leaf, torch._C.Generator)]
    if any((generator.initial_seed() >= _SEEDS_OF_THE_DEVICE) != (goes_to == DEVICE) for generator in generators):
        raise RuntimeError(f"{func}: expected a generator of the device that it draws on")
    to_host = func == _aten.copy_.default and not isinstance(args[0], DeviceTensor)
    if func.overloadpacket in _READS or (on_device and goes_to == _CPU) or to_host:
        reads.append(str(func))
    stored_args, stored_kwargs = tree_map_only(DeviceTensor, lambda tensor: tensor.stored, (args, kwargs))
    stored_args, stored_kwargs = tree_map_only(torch.device, lambda _: _CPU, (stored_args, stored_kwargs))
    with torch.inference_mode(False):
        result = func(*stored_args, **stored_kwargs)
    if func == _aten.copy_.default:
        return args[0]
    if goes_to != DEVICE:
        return result.clone() if copies and any(result is tensor.stored for tensor in on_device) else result
    known = {id(tensor.stored): tensor for tensor in on_device}
    return tree_map_only(Tensor, lambda tensor: _wrapped(tensor, known), result)


def _wrapped(result: Tensor, known: dict[int, DeviceTensor]) -> DeviceTensor:
    """The tensor that an in-place operation returned, or a new one."""
    if id(result) in known:
        return known[id(result)]
    with torch.inference_mode(False):
        return DeviceTensor(result)


def _on_device(leaf: object) -> bool:
    if isinstance(leaf, torch._C.Generator):
        return leaf.initial_seed() >= _SEEDS_OF_THE_DEVICE
    return isinstance(leaf, DeviceTensor) or (isinstance(leaf, torch.device) and leaf == DEVICE)
