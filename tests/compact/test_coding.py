"""The code of one tensor: bit-exact, close to the entropy, and strict about damaged bytes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from safs.compact.coding import bound_bytes, decode, encode, round_to_bfloat16
from safs.errors import CheckpointError


def pruned(count: int, sparsity: float, seed: int = 0) -> NDArray[np.float32]:
    """Normal weights of which the smallest are zero."""
    weights = np.random.default_rng(seed).standard_normal(count).astype(np.float32) * np.float32(0.02)
    weights[np.abs(weights) < np.quantile(np.abs(weights), sparsity)] = 0
    return weights


@given(st.lists(st.integers(0, 2**32 - 1) | st.just(0), max_size=60))
@settings(max_examples=60, deadline=None)
def test_every_pattern_of_bits_comes_back(patterns: list[int]) -> None:
    values = np.array(patterns, np.uint32).view(np.float32)

    assert np.array_equal(decode(encode(values)).view(np.uint32), values.view(np.uint32))


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (4, 3, 2, 2)])
@pytest.mark.parametrize("fill", ["zeros", "live", "equal"])
def test_every_shape_comes_back(shape: tuple[int, ...], fill: str) -> None:
    count = math.prod(shape)
    values = {"zeros": np.zeros(count), "live": np.arange(1, count + 1), "equal": np.full(count, -0.5)}[fill]
    tensor = values.astype(np.float32).reshape(shape)

    back = decode(encode(tensor))

    assert back.shape == shape
    assert np.array_equal(back, tensor)


def test_a_minus_zero_is_kept() -> None:
    back = decode(encode(np.array([0.0, -0.0, 1.0], np.float32)))

    assert np.signbit(back).tolist() == [False, True, False]


@pytest.mark.parametrize("sparsity", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("bits", [32, 16])
def test_the_code_is_within_two_percent_of_the_bound(sparsity: float, bits: int) -> None:
    weights = pruned(400_000, sparsity)

    assert len(encode(weights, bits=bits)) < 1.02 * bound_bytes(weights, bits=bits)


def test_the_bound_of_a_tensor_with_equal_values_is_that_of_the_positions_and_the_random_bits() -> None:
    weights = np.zeros(10, np.float32)
    weights[3] = 1.0

    # One of ten positions; 1.0 has the only symbol, and 21 of its 32 bits count as random.
    assert bound_bytes(weights) == pytest.approx((math.log2(10) + 21) / 8)


def test_bfloat16_rounds_as_torch_does() -> None:
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)

    rounded = round_to_bfloat16(values.view(np.uint32)).view(np.float32)

    assert np.array_equal(rounded, torch.from_numpy(values).bfloat16().float().numpy())


@pytest.mark.parametrize("value", [1e-45, -1e-45, 1.2e-38, 3.4028235e38, -3.4028235e38])
def test_no_live_weight_becomes_zero_or_infinite_in_bfloat16(value: float) -> None:
    back = decode(encode(np.array([0.0, value], np.float32), bits=16))

    assert back[0] == 0
    assert back[1] != 0
    assert np.isfinite(back[1])
    assert np.sign(back[1]) == np.sign(value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_values_that_are_not_finite_stay_what_they_are_in_bfloat16(value: float) -> None:
    back = decode(encode(np.array([0.0, value], np.float32), bits=16))

    assert np.array_equal(back[1:], np.array([value], np.float32), equal_nan=True)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_bytes_are_refused_or_decode_to_an_array(data: st.DataObject) -> None:
    content = bytearray(encode(pruned(300, 0.8)))
    header = 32  # bytes, the shape included
    content[data.draw(st.integers(header, len(content) - 1))] ^= data.draw(st.integers(1, 255))

    try:
        decoded = decode(bytes(content))
    except CheckpointError:
        return
    assert decoded.shape == (300,)


@pytest.mark.parametrize("change", [1, 23, 255])
@pytest.mark.parametrize("byte", range(28, 32))
def test_a_damaged_shape_is_refused_or_the_shape_of_what_is_decoded(byte: int, change: int) -> None:
    content = bytearray(encode(pruned(300, 0.8)))
    content[byte] ^= change
    (size,) = np.frombuffer(content, "<u4", 1, 28).tolist()

    try:
        decoded = decode(bytes(content))
    except CheckpointError:
        return
    assert decoded.shape == (size,)


@pytest.mark.parametrize("size", [0, 3, 27, 28, 40, 200])
def test_bytes_that_are_cut_short_are_refused(size: int) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        decode(encode(pruned(300, 0.8))[:size])
