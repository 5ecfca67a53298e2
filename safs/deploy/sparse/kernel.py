"""The sparse convolution: for each output channel, a sum of shifted contiguous vectors, one a live weight.

Activations are channel-major: each channel is one long vector over all images, with zeros between rows and between
images (``planes``). A tap of a kernel is then a constant shift of that vector. A tile of outputs is accumulated in
registers over all live weights of its channel. numba's own vectorizer keeps such accumulators in memory,
so the inner loop is written in LLVM's vectors.
"""

from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LANES = 16
TILES = (6 * LANES, 2 * LANES)
"""Outputs that are accumulated in registers at once: 6 registers of AVX-512, 12 of AVX2; and fewer for small planes."""

_FLOAT, _INDEX, _SHORT = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)


def _tile_of(vectors: int) -> Any:
    """The inner loop for tiles of ``vectors`` vectors, as a function that numba can call.

    target[:tile] = mask * clamp(bias + sum of weights[j] * source[offsets[j]:][:tile] + residual[:tile], low, high),
    where first <= j < last. ``source``, ``residual`` (0 for none), ``mask`` and ``target`` are addresses of float32
    values, ``offsets`` (int32, in values) and ``weights`` are addresses of arrays.
    """

    @intrinsic
    def tile(
        typing_context: Any,
        source: Any,
        offsets: Any,
        weights: Any,
        first: Any,
        last: Any,
        bias: Any,
        residual: Any,
        mask: Any,
        target: Any,
        low: Any,
        high: Any,
    ) -> Any:
        address, number = types.intp, types.float32
        addresses = (address, address, address, address, address)
        signature = types.void(*addresses, number, address, address, address, number, number)
        return signature, partial(_emit_tile, vectors)

    return tile


def _emit_tile(vectors: int, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    source, offsets, weights, first, last, bias, residual, mask, target, low, high = arguments
    before = builder.basic_block
    loop, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
    added, stored = builder.append_basic_block("residual"), builder.append_basic_block("store")
    start = _splat(builder, bias)
    builder.cbranch(builder.icmp_signed("<", first, last), loop, done)

    builder.position_at_end(loop)
    index = builder.phi(_INDEX)
    sums = [builder.phi(_VECTOR) for _ in range(vectors)]
    weight = _splat(builder, builder.load(builder.gep(_pointer(builder, weights, _FLOAT), [index])))
    offset = builder.sext(builder.load(builder.gep(_pointer(builder, offsets, _SHORT), [index])), _INDEX)
    shifted = builder.add(source, builder.mul(offset, _INDEX(4)))
    multiply_add = _multiply_add(builder.module)
    grown = [
        builder.call(multiply_add, [weight, _load(builder, shifted, part), total]) for part, total in enumerate(sums)
    ]
    following = builder.add(index, _INDEX(1))
    builder.cbranch(builder.icmp_signed("<", following, last), loop, done)
    index.add_incoming(first, before)
    index.add_incoming(following, loop)
    for total, value in zip(sums, grown, strict=True):
        total.add_incoming(start, before)
        total.add_incoming(value, loop)

    builder.position_at_end(done)
    totals = [builder.phi(_VECTOR) for _ in range(vectors)]
    for total, value in zip(totals, grown, strict=True):
        total.add_incoming(start, before)
        total.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("!=", residual, _INDEX(0)), added, stored)

    builder.position_at_end(added)
    with_residual = [builder.fadd(total, _load(builder, residual, part)) for part, total in enumerate(totals)]
    builder.branch(stored)

    builder.position_at_end(stored)
    for part in range(vectors):
        value = builder.phi(_VECTOR)
        value.add_incoming(totals[part], done)
        value.add_incoming(with_residual[part], added)
        totals[part] = value
    lowest, highest = _splat(builder, low), _splat(builder, high)
    for part, value in enumerate(totals):
        clamped = builder.select(builder.fcmp_ordered(">", value, lowest), value, lowest)
        clamped = builder.select(builder.fcmp_ordered("<", clamped, highest), clamped, highest)
        masked = builder.fmul(clamped, _load(builder, mask, part))
        builder.store(masked, _vector_pointer(builder, target, part), align=4)
    return context.get_dummy_value()


def _multiply_add(module: Any) -> Any:
    """LLVM's fused multiply-add of vectors, declared once a module."""
    name = f"llvm.fma.v{LANES}f32"
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return module.globals.get(name) or ir.Function(module, kind, name)


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, ir.PointerType(kind))


def _vector_pointer(builder: Any, address: Any, part: int) -> Any:
    return _pointer(builder, builder.add(address, _INDEX(4 * LANES * part)), _VECTOR)


def _load(builder: Any, address: Any, part: int) -> Any:
    return builder.load(_vector_pointer(builder, address, part), align=4)


def _splat(builder: Any, value: Any) -> Any:
    single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, _SHORT(0))
    lanes = ir.Constant(ir.VectorType(_SHORT, LANES), [0] * LANES)
    return builder.shuffle_vector(single, ir.Constant(_VECTOR, ir.Undefined), lanes)


def _convolution(tile: int) -> Any:
    run_tile = _tile_of(tile // LANES)

    @njit(nogil=True, error_model="numpy")
    def convolve(
        source: np.ndarray,
        begins: np.ndarray,
        offsets: np.ndarray,
        weights: np.ndarray,
        bias: np.ndarray,
        residual: np.ndarray,
        has_residual: bool,
        mask: np.ndarray,
        target: np.ndarray,
        guard: int,
        tiles: tuple[int, int],
        channels: tuple[int, int],
        low: float,
        high: float,
    ) -> None:
        for position in range(tiles[0], tiles[1]):
            at = 4 * (guard + position * tile)
            for channel in range(channels[0], channels[1]):
                run_tile(
                    source.ctypes.data + at,
                    offsets.ctypes.data,
                    weights.ctypes.data,
                    begins[channel],
                    begins[channel + 1],
                    bias[channel],
                    residual.ctypes.data + at + 4 * channel * residual.shape[1] if has_residual else 0,
                    mask.ctypes.data + at,
                    target.ctypes.data + at + 4 * channel * target.shape[1],
                    np.float32(low),
                    np.float32(high),
                )

    return convolve


LARGE_TILE = TILES[0]
run_large_tile, run_small_tile = (_tile_of(tile // LANES) for tile in TILES)
"""The inner loops, for functions that numba compiles; ``_tile_of`` says what they take."""
CONVOLUTIONS = {tile: _convolution(tile) for tile in TILES}
"""Tile -> function that computes a range of tiles of a range of output channels.

It takes, in this order: ``source`` (float32 [channels, values]; zeros before ``guard`` and after the last image);
``begins`` (int64 [output channels + 1]; channel c has the live weights begins[c] <= j < begins[c + 1]); ``offsets``
(int32; position of each weight's input, relative to that of the output in channel 0 of the source); ``weights``;
``bias``; ``residual`` (as ``target``, added before clamping if ``has_residual``); ``has_residual``; ``mask`` (float32
[values]; 0 where there is no pixel); ``target`` (float32 [output channels, values]); ``guard``; ``tiles`` and
``channels`` (first, last + 1); ``low`` and ``high``, between which outputs are clamped.
"""
