"""The layout in lanes: where pixels are, how padding is filled, and memory that buffers share."""

from random import Random

import numpy as np
import pytest

from safs.deploy.sparse.lanes.layout import LANES, Lanes, borders
from safs.deploy.sparse.lanes.memory import Constants, Plan


def test_a_pixel_is_in_the_lane_of_its_part_and_image() -> None:
    lanes = Lanes(images=2, down=2, across=4, rows=3, columns=2, pad=1)

    at = lanes.positions()

    # Image 1, row 4, column 5: part (1, 2), lane (1 * 4 + 2) * 2 + 1; row 1 + 1, column 1 + 1 of rows of 4 vectors.
    assert at[1, 4, 5] == (2 * 4 + 2) * LANES + 13
    assert len(np.unique(at)) == at.size == 2 * 6 * 8


@pytest.mark.parametrize(
    "lanes",
    [Lanes(1, 4, 4, 2, 2, 1), Lanes(1, 4, 4, 1, 1, 2), Lanes(4, 2, 2, 3, 5, 2), Lanes(16, 1, 1, 4, 4, 1)],
)
def test_padding_has_the_pixels_of_neighbours_and_zeros_outside(lanes: Lanes) -> None:
    images = np.random.default_rng(0).random((lanes.images, lanes.height, lanes.width), np.float32)
    channel = np.full((lanes.vectors + 2) * LANES, np.nan, np.float32)  # a vector of slack at both ends
    channel[LANES + lanes.positions()] = images
    copies, masks = borders(lanes)
    for target, source, mask in copies:
        read = channel[LANES + source // 4 :][:LANES]
        channel[LANES + target // 4 :][:LANES] = np.where(masks.reshape(-1)[mask // 4 :][:LANES], read, 0)

    padded = np.pad(images, [(0, 0), (lanes.pad,) * 2, (lanes.pad,) * 2])
    vectors = channel[LANES:-LANES].reshape(lanes.rows + 2 * lanes.pad, lanes.pitch, LANES)
    for image in range(lanes.images):
        for part in range(lanes.parts):
            row, column = part // lanes.across * lanes.rows, part % lanes.across * lanes.columns
            expected = padded[image, row : row + len(vectors), column : column + lanes.pitch]
            assert np.array_equal(vectors[:, :, part * lanes.images + image], expected)


def test_buffers_in_use_never_overlap() -> None:
    plan, used, random = Plan(64), [], Random(0)
    for _ in range(500):
        if used and random.random() < 0.5:
            plan.give_back(*used.pop(random.randrange(len(used))))
        else:
            size = 64 * random.randint(1, 20)
            first = plan.take(size, unused=random.random() < 0.1)
            assert first >= 64
            assert first + size <= plan.end
            assert all(first + size <= other or other + length <= first for other, length in used)
            used.append((first, size))
    for buffer in used:
        plan.give_back(*buffer)
    end = plan.end

    assert plan.take(end - 64) == 64  # all that was given back is one piece
    assert plan.end == end


def test_constants_are_copies_that_begin_at_multiples_of_a_vector() -> None:
    constants, array = Constants(), np.arange(7, dtype=np.int32)

    addresses = [constants.keep(array), constants.keep(np.zeros(2**19)), constants.keep(array)]

    assert all(address % 64 == 0 for address in addresses)
    assert len(set(addresses)) == 3
