"""Activations of the form (slope x + offset) g(steepness x) + linear x + shift, on vectors of 16 lanes.

g is the logistic function, or its piecewise linear form clamp(x / 6 + 1 / 2, 0, 1). So swish, hardswish, tanh, ACON,
and the gates of squeeze-and-excitation layers need no call of torch between two programs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from safs.activations.module import Activation
from safs.deploy.sparse.lanes.kernel import VECTOR, load, multiply_add, pointer, splat
from safs.deploy.sparse.lanes.layout import LANES, VECTOR_BYTES

_LARGEST_EXPONENT = 87.0
_LOG2_E = 1.44269504088896341
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_POLYNOMIAL = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
"""(exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2: Cephes, ``expf``; its relative error is below 1.7e-7."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The activation (slope x + offset) g(steepness x) + linear x + shift."""

    hard: bool
    """True if g is the piecewise linear form."""
    steepness: float
    slope: float = 0.0
    offset: float = 0.0
    linear: float = 0.0
    shift: float = 0.0

    @property
    def keeps_zero(self) -> bool:
        """True if the gate of 0 is 0."""
        return self.offset / 2 + self.shift == 0

    @property
    def numbers(self) -> tuple[float, float, float, float, float]:
        """The arguments of ``smooth_gate`` and ``hard_gate`` after the address."""
        return self.steepness, self.slope, self.offset, self.linear, self.shift


def gate_of(activation: Activation) -> Gate | None:
    """The activation as a gate; None if it is none."""
    scalars = activation.scalars()
    alpha, beta = scalars.get("alpha", 1.0), scalars.get("beta", 1.0)
    match activation.operator.name:
        case "swish":
            return Gate(False, beta, slope=alpha)
        case "silu":
            return Gate(False, beta, slope=alpha * beta)
        case "hardswish":
            return Gate(True, beta, slope=alpha * beta)
        case "sigmoid":
            return Gate(False, beta, offset=alpha)
        case "hardsigmoid":
            return Gate(True, beta, offset=alpha)
        case "tanh":
            return Gate(False, 2 * beta, offset=2 * alpha, shift=-alpha)
        case "acon":
            difference = scalars["p1"] - scalars["p2"]
            return Gate(False, beta * difference, slope=difference, linear=scalars["p2"])
    return None


@intrinsic
def smooth_gate(
    typing_context: Any, address: Any, steepness: Any, slope: Any, offset: Any, linear: Any, shift: Any
) -> Any:
    """Apply a gate with the logistic function to the vector at ``address``, in place."""
    return types.void(types.intp, *[types.float32] * 5), partial(_emit, _logistic)


@intrinsic
def hard_gate(
    typing_context: Any, address: Any, steepness: Any, slope: Any, offset: Any, linear: Any, shift: Any
) -> Any:
    """Apply a gate with the piecewise linear form to the vector at ``address``, in place."""
    return types.void(types.intp, *[types.float32] * 5), partial(_emit, _piecewise)


def _emit(gate: Any, context: Any, builder: Any, signature: Any, arguments: Sequence[Any]) -> Any:
    place = pointer(builder, arguments[0], VECTOR)
    steepness, slope, offset, linear, shift = (splat(builder, number) for number in arguments[1:])
    fused = multiply_add(builder.module)
    x = load(builder, place)
    factor = builder.call(fused, [slope, x, offset])
    straight = builder.call(fused, [linear, x, shift])
    opened = gate(builder, builder.fmul(steepness, x))
    builder.store(builder.call(fused, [factor, opened, straight]), place, align=VECTOR_BYTES)
    return context.get_dummy_value()


def _piecewise(builder: Any, x: Any) -> Any:
    line = builder.call(multiply_add(builder.module), [x, _constant(1 / 6), _constant(0.5)])
    return _between(builder, line, 0.0, 1.0)


def _logistic(builder: Any, x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    one = _constant(1.0)
    return builder.fdiv(one, builder.fadd(one, _exponential(builder, builder.fneg(x))))


def _exponential(builder: Any, x: Any) -> Any:
    """exp(x) = 2^n exp(r), where n is the integer next to x / ln(2)."""
    fused = multiply_add(builder.module)
    x = _between(builder, x, -_LARGEST_EXPONENT, _LARGEST_EXPONENT)
    name = f"llvm.rint.v{LANES}f32"
    rounded = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(VECTOR, [VECTOR]), name)
    whole = builder.call(rounded, [builder.fmul(x, _constant(_LOG2_E))])
    rest = builder.call(fused, [whole, _constant(-_LN2_HIGH), x])
    rest = builder.call(fused, [whole, _constant(-_LN2_LOW), rest])
    value = _constant(_POLYNOMIAL[0])
    for coefficient in _POLYNOMIAL[1:]:
        value = builder.call(fused, [value, rest, _constant(coefficient)])
    value = builder.call(fused, [value, builder.fmul(rest, rest), builder.fadd(rest, _constant(1.0))])
    bits = ir.VectorType(ir.IntType(32), LANES)
    exponent = builder.add(builder.fptosi(whole, bits), ir.Constant(bits, [127] * LANES))
    power = builder.bitcast(builder.shl(exponent, ir.Constant(bits, [23] * LANES)), VECTOR)
    return builder.fmul(value, power)


def _between(builder: Any, x: Any, low: float, high: float) -> Any:
    """``x`` clamped; NaN stays NaN."""
    lowest, highest = _constant(low), _constant(high)
    x = builder.select(builder.fcmp_ordered("<", x, lowest), lowest, x)
    return builder.select(builder.fcmp_ordered(">", x, highest), highest, x)


def _constant(value: float) -> Any:
    return ir.Constant(VECTOR, [ir.Constant(ir.FloatType(), value)] * LANES)
