"""Inner loops on vectors of 16 lanes, written in LLVM's vectors.

A tile of output pixels of one channel is accumulated in registers over the live weights of the channel. Every load is
aligned, so a core with AVX-512 can do two multiply-adds a cycle.
"""

from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from safs.deploy.sparse.lanes.layout import LANES, VECTOR_BYTES

_FLOAT, _INDEX, _SHORT = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_BITS = ir.VectorType(_SHORT, LANES)
VECTOR = ir.VectorType(_FLOAT, LANES)
"""LLVM's type of a vector."""
TAP_BYTES = 8
"""A live weight: the position of its input (uint32, bytes), and its value (float32)."""


def tile_of(rows: int, columns: int, unroll: int) -> Any:
    """The function of one tile of ``rows`` x ``columns`` pixels, which numba can call.

    target = gain * clamp(start + sum of value[j] * source[position[j]:] + residual, low, high), where first <= j < last
    are taps, and ``start`` is what is at ``earlier``, or ``bias`` if ``earlier`` is 0.

    Arguments: the address ``source``, and the distances in bytes of its rows and of its pixels for neighbours in the
    tile; the address ``taps``, ``first``, ``last`` (last - first is a multiple of ``unroll``); ``bias``; the addresses
    ``earlier``, ``residual`` (0 for none) and ``target``, and the distance of their rows; ``low``, ``high``, ``gain``.
    """

    @intrinsic
    def tile(
        typing_context: Any,
        source: Any,
        source_row: Any,
        source_pixel: Any,
        taps: Any,
        first: Any,
        last: Any,
        bias: Any,
        earlier: Any,
        residual: Any,
        target: Any,
        target_row: Any,
        low: Any,
        high: Any,
        gain: Any,
    ) -> Any:
        address, number = types.intp, types.float32
        signature = types.void(*[address] * 6, number, *[address] * 4, number, number, number)
        return signature, partial(_emit_tile, rows, columns, unroll)

    return tile


def _emit_tile(rows: int, columns: int, unroll: int, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    source, source_row, source_pixel, taps, first, last, bias = arguments[:7]
    earlier, residual, target, target_row, low, high, gain = arguments[7:]
    fused = multiply_add(builder.module)
    pixels = [builder.mul(source_pixel, _INDEX(column)) for column in range(columns)]

    def parts(address: Any) -> list[Any]:
        """The vectors of a tile in the layout of the target."""
        starts = [builder.add(address, builder.mul(target_row, _INDEX(row))) for row in range(rows)]
        return [
            pointer(builder, builder.add(start, _INDEX(VECTOR_BYTES * column)), VECTOR)
            for start in starts
            for column in range(columns)
        ]

    has_earlier = builder.icmp_signed("!=", earlier, _INDEX(0))
    fresh = [splat(builder, bias)] * (rows * columns)
    starts = _optional(builder, has_earlier, fresh, lambda: [load(builder, part) for part in parts(earlier)])
    zero = ir.Constant(VECTOR, [ir.Constant(_FLOAT, 0.0)] * LANES)
    starts += [zero] * (rows * columns * (unroll - 1))

    before = builder.basic_block
    loop, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed("<", first, last), loop, done)
    builder.position_at_end(loop)
    index = builder.phi(_INDEX)
    sums = [builder.phi(VECTOR) for _ in starts]
    grown: list[Any] = []
    for copy in range(unroll):
        tap = builder.add(taps, builder.mul(builder.add(index, _INDEX(copy)), _INDEX(TAP_BYTES)))
        position = builder.zext(builder.load(pointer(builder, tap, _SHORT)), _INDEX)
        weight = splat(builder, builder.load(pointer(builder, builder.add(tap, _INDEX(4)), _FLOAT)))
        moved = builder.add(source, position)
        for row in range(rows):
            if row:
                moved = builder.add(moved, source_row)
            for pixel in pixels:
                value = load(builder, pointer(builder, builder.add(moved, pixel), VECTOR))
                grown.append(builder.call(fused, [weight, value, sums[len(grown)]]))
    following = builder.add(index, _INDEX(unroll))
    builder.cbranch(builder.icmp_signed("<", following, last), loop, done)
    index.add_incoming(first, before)
    index.add_incoming(following, loop)

    builder.position_at_end(done)
    totals = [builder.phi(VECTOR) for _ in starts]
    for total, sum_, value, start in zip(totals, sums, grown, starts, strict=True):
        for phi in (total, sum_):
            phi.add_incoming(start, before)
            phi.add_incoming(value, loop)
    count = rows * columns
    for copy in range(1, unroll):
        totals[:count] = [builder.fadd(totals[at], totals[copy * count + at]) for at in range(count)]
    totals = totals[:count]
    has_residual = builder.icmp_signed("!=", residual, _INDEX(0))
    totals = _optional(
        builder,
        has_residual,
        totals,
        lambda: [builder.fadd(total, load(builder, part)) for total, part in zip(totals, parts(residual), strict=True)],
    )
    lowest, highest, factor = (splat(builder, value) for value in (low, high, gain))
    for total, part in zip(totals, parts(target), strict=True):
        clamped = builder.select(builder.fcmp_ordered(">", lowest, total), lowest, total)  # NaN stays NaN
        clamped = builder.select(builder.fcmp_ordered("<", highest, clamped), highest, clamped)
        builder.store(builder.fmul(clamped, factor), part, align=VECTOR_BYTES)
    return context.get_dummy_value()


@intrinsic
def copy_lanes(typing_context: Any, source: Any, mask: Any, target: Any) -> Any:
    """Copy a vector from any address, with zeros where the bits of ``mask`` (int32 [16]) are 0; takes addresses."""
    return types.void(types.intp, types.intp, types.intp), _emit_copy


def _emit_copy(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    source, mask, target = (pointer(builder, address, _BITS) for address in arguments)
    kept = builder.and_(builder.load(source, align=4), builder.load(mask, align=4))
    builder.store(kept, target, align=4)
    return context.get_dummy_value()


@intrinsic
def multiply_vector(typing_context: Any, source: Any, factors: Any, target: Any) -> Any:
    """Multiply two aligned vectors; takes addresses."""
    return types.void(types.intp, types.intp, types.intp), _emit_product


def _emit_product(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    source, factors, target = (pointer(builder, address, VECTOR) for address in arguments)
    builder.store(builder.fmul(load(builder, source), load(builder, factors)), target, align=VECTOR_BYTES)
    return context.get_dummy_value()


def _optional(builder: Any, condition: Any, otherwise: list[Any], compute: Any) -> list[Any]:
    """The values that ``compute`` gives if ``condition`` is true, else ``otherwise``."""
    before = builder.basic_block
    chosen, after = builder.append_basic_block("chosen"), builder.append_basic_block("after")
    builder.cbranch(condition, chosen, after)
    builder.position_at_end(chosen)
    computed = compute()
    builder.branch(after)
    builder.position_at_end(after)
    merged = []
    for value, other in zip(computed, otherwise, strict=True):
        phi = builder.phi(VECTOR)
        phi.add_incoming(value, chosen)
        phi.add_incoming(other, before)
        merged.append(phi)
    return merged


def multiply_add(module: Any) -> Any:
    """LLVM's fused multiply-add of vectors, declared once a module."""
    name = f"llvm.fma.v{LANES}f32"
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    return module.globals.get(name) or ir.Function(module, kind, name)


def pointer(builder: Any, address: Any, kind: Any) -> Any:
    """The address as a pointer to a value of an LLVM type."""
    return builder.inttoptr(address, ir.PointerType(kind))


def load(builder: Any, place: Any) -> Any:
    """The vector at an aligned pointer."""
    return builder.load(place, align=VECTOR_BYTES)


def splat(builder: Any, value: Any) -> Any:
    """A number in all lanes."""
    single = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, _SHORT(0))
    lanes = ir.Constant(ir.VectorType(_SHORT, LANES), [0] * LANES)
    return builder.shuffle_vector(single, ir.Constant(VECTOR, ir.Undefined), lanes)
