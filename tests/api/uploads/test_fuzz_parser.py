"""The parser against the safetensors library: whatever we accept, it loads, as the same names, shapes and bytes.

``make test`` draws 2,000 inputs by random damage and 200 of each kind; ``make fuzz`` as many as ``FUZZ_EXAMPLES`` says.
"""

import json
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from random import randrange

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import deserialize
from safetensors.torch import load

from api.uploads.strict_safetensors import BYTES_OF_DTYPE, Refused, all_finite, parse, read_header
from tests.api.uploads.fuzzing import EXAMPLES, MANY, SETTINGS, damaged_files, good_files, mutated, odd_headers, rubbish

LIMIT_BYTES = 100_000


def _verdict(content: bytes) -> str:
    """``accepted`` if we and the library agree on the file, ``refused`` if we refuse it; anything else raises."""
    try:
        tensors = parse(BytesIO(content), limit_bytes=LIMIT_BYTES)
    except Refused as refusal:
        reason = str(refusal)
    else:
        reason = ""
    if reason:
        assert len(reason) < 500
        assert reason.isprintable()
        return "refused"
    theirs = dict(deserialize(content))
    assert len(theirs) == tensors
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for tensor in read_header(content[8 : 8 + length]):
        found = theirs[tensor.name]
        assert found["dtype"] == tensor.dtype
        assert found["shape"] == header[tensor.name]["shape"]
        assert bytes(found["data"]) == content[8 + length + tensor.begin : 8 + length + tensor.end]
    assert all(torch.isfinite(value).all() for value in load(content).values())
    return "accepted"


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param(good_files(), id="good files"),
        pytest.param(damaged_files(), id="damaged files"),
        pytest.param(odd_headers(), id="odd headers"),
        pytest.param(rubbish, id="rubbish"),
    ],
)
def test_what_is_not_refused_is_read_alike_by_the_safetensors_library(
    inputs: st.SearchStrategy[bytes], request: pytest.FixtureRequest, say: Callable[[str], None]
) -> None:
    seen: Counter[str] = Counter()

    @SETTINGS
    @given(content=inputs)
    def feed(content: bytes) -> None:
        seen[_verdict(content)] += 1

    feed()

    say(f"{request.node.callspec.id}: {dict(seen)}")


def test_random_damage_is_refused_or_read_alike(say: Callable[[str], None]) -> None:
    seed = randrange(2**32) if MANY else 0

    seen = Counter(_verdict(content) for content in mutated(seed, EXAMPLES))

    assert seen["accepted"]
    say(f"random damage, seed {seed}: {dict(seen)}")


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints the number of inputs, in ``make fuzz`` only."""

    def printed(line: str) -> None:
        if MANY:
            with capsys.disabled():
                print(f"\n{line}")

    return printed


@SETTINGS
@given(dtype=st.sampled_from(sorted(set(BYTES_OF_DTYPE) - {"BOOL"})), numbers=st.binary(min_size=8, max_size=64))
def test_numbers_that_are_not_finite_are_those_that_torch_finds(dtype: str, numbers: bytes) -> None:
    kinds = {"U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32, "I64": torch.int64}
    floats = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
    numbers = numbers[: len(numbers) // 8 * 8]

    found = torch.frombuffer(bytearray(numbers), dtype=(kinds | floats)[dtype])

    assert all_finite(numbers, dtype) == bool(torch.isfinite(found).all())
