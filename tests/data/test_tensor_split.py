"""Tensor splits: resizing, statistics, sharing, augmentation."""

import numpy as np
import pytest
import torch

from safs.data import arrays as arrays_module
from safs.data.arrays import Arrays, Labelled, split_arrays
from safs.data.augmentation import PADDING, CropAndFlip
from safs.data.tensor_split import TensorSplit, fit, mean_and_std
from safs.errors import DataError
from safs.spec.data import DataSpec

CPU = torch.device("cpu")


def test_a_normalised_batch_has_the_values_worked_by_hand():
    split = TensorSplit(
        images=torch.tensor([[[[10, 30]]], [[[20, 40]]]], dtype=torch.uint8).expand(2, 1, 2, 2),
        labels=torch.tensor([0, 1]),
        mean=torch.tensor([20.0]),
        std=torch.tensor([10.0]),
        classes=2,
        channels=1,
        image_size=2,
    )

    images, labels = next(split.batches(2, device=CPU))

    assert images[:, 0, 0].tolist() == [[-1.0, 1.0], [0.0, 2.0]]
    assert labels.tolist() == [0, 1]


def test_mean_and_deviation_equal_numpys():
    images = torch.randint(0, 256, (5000, 2, 3, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)

    mean, std = mean_and_std(images)

    assert mean.tolist() == pytest.approx(images.numpy().mean((0, 2, 3)).tolist())
    assert std.tolist() == pytest.approx(images.numpy().std((0, 2, 3)).tolist())


def test_a_constant_channel_has_a_deviation_of_one():
    assert mean_and_std(torch.full((4, 1, 2, 2), 7.0))[1].tolist() == [1.0]


def test_grey_is_repeated_and_a_constant_image_stays_constant_when_resized():
    fitted = fit(torch.full((2, 1, 8, 8), 200, dtype=torch.uint8), channels=3, image_size=13)

    assert fitted.shape == (2, 3, 13, 13)
    assert fitted.dtype == torch.uint8
    assert bool((fitted == 200).all())


def test_float_images_keep_their_values_and_batches_do_not_write_to_them():
    values = torch.linspace(-3, 3, 40 * 4).view(40, 1, 2, 2)
    arrays = Arrays(Labelled(values, torch.arange(40) % 2), None, classes=2, crop_and_flip=False)

    train = split_arrays(arrays, DataSpec(dataset="npz"), channels=1, image_size=2, seed=0).train
    images, _ = next(train.batches(100, device=CPU))
    again, _ = next(train.batches(100, device=CPU))

    assert set(train.images.flatten().tolist()) <= set(values.flatten().tolist())
    assert torch.equal(images, again)


def test_colour_images_for_a_grey_network_are_refused():
    arrays = Arrays(Labelled(torch.zeros(9, 3, 4, 4), torch.arange(9) % 3), None, classes=3, crop_and_flip=False)

    with pytest.raises(DataError, match="3 channels and the network takes 1"):
        split_arrays(arrays, DataSpec(dataset="npz"), channels=1, image_size=4, seed=0)


def test_images_beyond_the_memory_limit_are_resized_by_batch_to_the_same_pixels(monkeypatch):
    pixels = torch.randint(0, 256, (30, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    arrays = Arrays(Labelled(pixels, torch.arange(30) % 3), None, classes=3, crop_and_flip=False)

    def first_batch():
        train = split_arrays(arrays, DataSpec(dataset="npz"), channels=3, image_size=20, seed=0).train
        return train.images.shape, next(train.batches(8, device=CPU))[0]

    in_advance = first_batch()
    monkeypatch.setattr(arrays_module, "MEMORY_LIMIT_BYTES", 100)
    by_batch = first_batch()

    assert in_advance[0][1:] == (3, 20, 20)
    assert by_batch[0][1:] == (1, 8, 8)
    assert torch.equal(in_advance[1], by_batch[1])


def test_a_split_is_rebuilt_from_read_only_arrays_without_a_copy():
    split = TensorSplit(
        torch.arange(12, dtype=torch.uint8).view(3, 1, 2, 2),
        torch.arange(3),
        torch.tensor([5.5]),
        torch.tensor([2.0]),
        classes=3,
        channels=1,
        image_size=2,
        crop_and_flip=True,
    )
    arrays = split.to_arrays()
    for array in arrays.values():
        array.flags.writeable = False

    received = TensorSplit.from_arrays(arrays)

    assert received.images.data_ptr() == split.images.data_ptr()
    assert (received.classes, received.channels, received.image_size, received.crop_and_flip) == (3, 1, 2, True)
    sent, got = (next(part.batches(3, device=CPU)) for part in (split, received))
    assert torch.equal(sent[0], got[0])
    assert torch.equal(sent[1], got[1])


def test_crops_and_flips_equal_those_of_a_loop_over_images():
    images = torch.arange(5 * 2 * 6 * 6).view(5, 2, 6, 6)
    draws = CropAndFlip.draw(5, torch.Generator().manual_seed(0))

    augmented = draws(images)

    for number in range(5):
        padded = np.pad(images[number].numpy(), ((0, 0), (PADDING, PADDING), (PADDING, PADDING)))
        top, left = int(draws.tops[number]), int(draws.lefts[number])
        expected = padded[:, top : top + 6, left : left + 6]
        assert (augmented[number].numpy() == (expected[:, :, ::-1] if draws.flips[number] else expected)).all()


def test_crops_start_at_every_offset_and_half_are_flipped():
    draws = CropAndFlip.draw(10_000, torch.Generator().manual_seed(0))

    assert set(draws.tops.tolist()) == set(draws.lefts.tolist()) == set(range(2 * PADDING + 1))
    assert draws.flips.float().mean().item() == pytest.approx(0.5, abs=0.02)
