"""The activation of a site as plain PyTorch code."""

import inspect
from collections.abc import Iterable
from functools import partial
from typing import Any

from safs.activations import operators
from safs.activations.module import Activation
from safs.activations.operators import OPERATORS, Scaled
from safs.deploy.torch_names import literal, torch_name
from safs.errors import ExportError

_CONSTANTS = {
    "symexp": ("SYMEXP_LINEAR_FROM",),
    "srs": ("SRS_LARGEST_EXPONENT",),
}
_HELPERS = {"symlog": ("_magnitude",), "symexp": ("_magnitude",)}


def activation_code(activation: Activation, value: str) -> tuple[str, str | None]:
    """The code of an activation of ``value``, and the name of the function that its source must define, if any."""
    operator, scalars = activation.operator, activation.scalars()
    if not isinstance(operator.function, Scaled):
        numbers = [literal(scalars[name]) for name in operator.scalars]
        return f"{operator.function.__name__}({', '.join([value, *numbers])})", operator.function.__name__
    alpha, beta = scalars["alpha"], scalars["beta"]
    scaled = value if beta == 1.0 else f"{literal(beta)} * {value}"
    code, own = _inner(operator.function.f, scaled)
    return (code if alpha == 1.0 else f"{literal(alpha)} * {code}"), own


def operator_sources(names: Iterable[str]) -> list[str]:
    """Source of the functions with these names of ``safs.activations.operators``, with what they need, sorted."""
    names = sorted(names)
    constants = sorted({constant for name in names for constant in _CONSTANTS.get(name, ())})
    helpers = sorted({helper for name in names for helper in _HELPERS.get(name, ())})
    lines = [f"{constant} = {literal(getattr(operators, constant))}" for constant in constants]
    sources = [inspect.getsource(getattr(operators, name)).strip() for name in (*helpers, *names)]
    # The scalars are numbers here, and tensors while they are learned.
    annotated = [source.replace(": Tensor, p2: Tensor", ": float, p2: float") for source in sources]
    for scalar in ("alpha", "beta"):
        annotated = [source.replace(f"{scalar}: Tensor", f"{scalar}: float") for source in annotated]
    return ["", *lines] * bool(lines) + [line for source in annotated for line in ("", "", source)]


def _inner(function: Any, scaled: str) -> tuple[str, str | None]:
    if isinstance(function, partial):
        code, own = _inner(function.func, scaled)
        settings = "".join(f", {name}={literal(value)}" for name, value in function.keywords.items())
        return f"{code[:-1]}{settings})", own
    name = getattr(function, "__name__", "")
    if function is OPERATORS["identity"].plain:
        return (scaled if scaled.isidentifier() else f"({scaled})"), None
    if getattr(operators, name, None) is function:
        return f"{name}({scaled})", name
    if (known := torch_name(function)) is not None:
        return f"{known}({scaled})", None
    raise ExportError(f"the activation {name!r} has no plain PyTorch form")
