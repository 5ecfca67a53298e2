"""The modules of torch.nn that a document may name, with the arguments of their constructors.

A module is built from this table alone. What an argument may hold is checked before the constructor sees it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import nn

from safs.errors import NetworkError, NetworkTooLargeError, UnsupportedOperationError
from safs.models.declared.document import MAX_INTEGER, MAX_RANK, Module
from safs.models.declared.nearest import nearest

Check: TypeAlias = Callable[[Any], bool]

CONTAINER = "Module"
"""A module that only holds others; it cannot be called."""
MAX_ELEMENTS = 2**28
"""Numbers in one value or one weight."""


@dataclass(frozen=True, slots=True)
class ModuleKind:
    """A class of torch.nn."""

    make: Callable[..., nn.Module]
    arguments: Mapping[str, Check]
    """Argument of the constructor -> whether a value is valid. A document gives all of them."""
    type: type[nn.Module]


def build_module(declared: Module) -> nn.Module:
    """The module, with fresh weights.

    Raises:
        UnsupportedOperationError: the table has no such class.
        NetworkError: an argument is missing, unknown or invalid.
        NetworkTooLargeError: a weight has more than ``MAX_ELEMENTS`` elements.
    """
    if declared.kind == CONTAINER and not declared.arguments:
        return nn.Module()
    if declared.kind not in MODULES:
        raise UnsupportedOperationError(
            f"{declared.path} is a {declared.kind!r}, which is no supported module.{nearest(declared.kind, MODULES)}"
        )
    kind, given = MODULES[declared.kind], declared.arguments
    if given.keys() != kind.arguments.keys():
        raise NetworkError(f"{declared.path}: a {declared.kind} has the arguments {', '.join(kind.arguments)}")
    for name, check in kind.arguments.items():
        if not check(given[name]):
            raise NetworkError(f"{declared.path}: {declared.kind}.{name} cannot be {str(given[name])[:60]!r}")
    _check_size(declared)
    try:
        return kind.make(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
    except (ValueError, RuntimeError, TypeError) as error:
        raise NetworkError(f"{declared.path}: {declared.kind} cannot be built: {str(error)[:300]}") from error


def describe(module: nn.Module) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of a module of the table or of a subclass; None for other modules."""
    for name, kind in MODULES.items():
        if isinstance(module, kind.type):
            given = {argument: _read(module, argument) for argument in kind.arguments}
            return (name, given) if all(kind.arguments[argument](value) for argument, value in given.items()) else None
    return None


def _read(module: nn.Module, argument: str) -> Any:
    if argument == "bias":
        return module._parameters.get("bias") is not None
    value = getattr(module, argument)
    return list(value) if isinstance(value, tuple) else value


def _check_size(declared: Module) -> None:
    size = 1
    for value in declared.arguments.values():
        for number in value if isinstance(value, list) else [value]:
            size *= max(1, abs(number)) if type(number) is int else 1
    # An upper bound, since it multiplies strides and groups, too.
    if size > MAX_ELEMENTS * 2**16:
        raise NetworkTooLargeError(f"{declared.path} has too large arguments for a {declared.kind}")


def _size(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_INTEGER


def _bool(value: Any) -> bool:
    return type(value) is bool


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= 1e30


def _fraction(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1


def _dim(value: Any) -> bool:
    return type(value) is int and abs(value) <= MAX_RANK


def _sizes(count: int, least: int) -> Check:
    def check(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) == count
            and all(type(size) is int and least <= size <= MAX_INTEGER for size in value)
        )

    return check


def _shape(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= MAX_RANK and all(map(_size, value))


def _one_of(*choices: str) -> Check:
    return lambda value: isinstance(value, str) and value in choices


def _padding(count: int) -> Check:
    return lambda value: value in ("same", "valid") if isinstance(value, str) else _sizes(count, 0)(value)


def _kind(made: type[nn.Module], **arguments: Check) -> ModuleKind:
    return ModuleKind(made, arguments, made)


def _convolution(made: type[nn.Module], dims: int) -> ModuleKind:
    return _kind(
        made,
        in_channels=_size,
        out_channels=_size,
        kernel_size=_sizes(dims, 1),
        stride=_sizes(dims, 1),
        padding=_padding(dims),
        dilation=_sizes(dims, 1),
        groups=_size,
        bias=_bool,
    )


def _transposed(made: type[nn.Module], dims: int) -> ModuleKind:
    return _kind(
        made,
        in_channels=_size,
        out_channels=_size,
        kernel_size=_sizes(dims, 1),
        stride=_sizes(dims, 1),
        padding=_sizes(dims, 0),
        output_padding=_sizes(dims, 0),
        groups=_size,
        bias=_bool,
        dilation=_sizes(dims, 1),
    )


def _batch_norm(made: type[nn.Module]) -> ModuleKind:
    return _kind(made, num_features=_size, eps=_fraction, momentum=_fraction, affine=_bool, track_running_stats=_bool)


MODULES: Mapping[str, ModuleKind] = {
    "Conv1d": _convolution(nn.Conv1d, 1),
    "Conv2d": _convolution(nn.Conv2d, 2),
    "Conv3d": _convolution(nn.Conv3d, 3),
    "ConvTranspose1d": _transposed(nn.ConvTranspose1d, 1),
    "ConvTranspose2d": _transposed(nn.ConvTranspose2d, 2),
    "Linear": _kind(nn.Linear, in_features=_size, out_features=_size, bias=_bool),
    "BatchNorm1d": _batch_norm(nn.BatchNorm1d),
    "BatchNorm2d": _batch_norm(nn.BatchNorm2d),
    "BatchNorm3d": _batch_norm(nn.BatchNorm3d),
    "LayerNorm": _kind(nn.LayerNorm, normalized_shape=_shape, eps=_fraction, elementwise_affine=_bool, bias=_bool),
    "GroupNorm": _kind(nn.GroupNorm, num_groups=_size, num_channels=_size, eps=_fraction, affine=_bool),
    "Embedding": _kind(nn.Embedding, num_embeddings=_size, embedding_dim=_size),
    "PReLU": _kind(nn.PReLU, num_parameters=_size),
    "Dropout": _kind(nn.Dropout, p=_fraction, inplace=_bool),
    "Flatten": _kind(nn.Flatten, start_dim=_dim, end_dim=_dim),
    "ReLU": _kind(nn.ReLU, inplace=_bool),
    "ReLU6": _kind(nn.ReLU6, inplace=_bool),
    "SiLU": _kind(nn.SiLU, inplace=_bool),
    "GELU": _kind(nn.GELU, approximate=_one_of("none", "tanh")),
    "Hardswish": _kind(nn.Hardswish, inplace=_bool),
    "Hardsigmoid": _kind(nn.Hardsigmoid, inplace=_bool),
    "Mish": _kind(nn.Mish, inplace=_bool),
    "ELU": _kind(nn.ELU, alpha=_number, inplace=_bool),
    "CELU": _kind(nn.CELU, alpha=_number, inplace=_bool),
    "SELU": _kind(nn.SELU, inplace=_bool),
    "LeakyReLU": _kind(nn.LeakyReLU, negative_slope=_number, inplace=_bool),
    "Hardtanh": _kind(nn.Hardtanh, min_val=_number, max_val=_number, inplace=_bool),
    "Tanh": _kind(nn.Tanh),
    "Sigmoid": _kind(nn.Sigmoid),
    "Softplus": _kind(nn.Softplus, beta=_number, threshold=_number),
    "LogSigmoid": _kind(nn.LogSigmoid),
    "Softsign": _kind(nn.Softsign),
    "Tanhshrink": _kind(nn.Tanhshrink),
    "Hardshrink": _kind(nn.Hardshrink, lambd=_number),
    "Softshrink": _kind(nn.Softshrink, lambd=_number),
}
"""Class name -> what is known of it. A subclass comes before its base, since ``describe`` takes the first that fits."""
