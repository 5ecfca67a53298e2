"""Splits of kept inputs: values equal those of the full batches exactly, wherever the images are reduced."""

import pickle
from dataclasses import replace

import pytest
import torch

from safs.data import TensorSplit, load
from safs.data.features import SelectedSplit, select
from safs.data.file_split import FileSplit
from safs.errors import DataError
from safs.inputs import InputSelection
from safs.spec.data import DataSpec

CPU = torch.device("cpu")
PIXELS, CHANNELS = InputSelection("pixel", (0, 7, 36, 100, 107)), InputSelection("channel", (0, 2))
MEANS = [100.0, 100.0, 120.0, 140.0, 140.0]
"""Means of ``PIXELS``: 0 and 7 are in the first channel, 36 in the second, 100 and 107 in the third."""
SELECTIONS = pytest.mark.parametrize("kept", [PIXELS, CHANNELS], ids=["pixel", "channel"])


@pytest.fixture(params=["in memory", "float", "augmented", "fitted by batch", "files"])
def full(request, write_pictures, tmp_path):
    """A split of 9 images of 3 x 6 x 6, in every form that a split can have."""
    generator = torch.Generator().manual_seed(0)
    split = TensorSplit(
        torch.randint(0, 256, (9, 3, 6, 6), generator=generator, dtype=torch.uint8),
        torch.arange(9) % 4,
        torch.tensor([100.0, 120.0, 140.0]),
        torch.tensor([50.0, 60.0, 70.0]),
        classes=4,
        channels=3,
        image_size=6,
    )
    match request.param:
        case "float":
            return replace(split, images=split.images.float())
        case "augmented":
            return replace(split, crop_and_flip=True)
        case "fitted by batch":
            return replace(split, images=split.images[:, :, :4, :5])
        case "files":
            write_pictures(tmp_path, {"cat": 9}, size=(6, 6))
            files = tuple(str(file) for file in sorted((tmp_path / "cat").iterdir()))
            return FileSplit(files, split.labels, split.mean, split.std, 4, 3, 6, crop_and_flip=True, workers=0)
    return split


def by_hand(images, kept):
    if kept.kind == "channel":
        return torch.stack([images[:, channel] for channel in kept.kept], dim=1)
    pixels = [images[:, flat // 36, flat % 36 // 6, flat % 6] for flat in kept.kept]
    return torch.stack(pixels, dim=1)[:, :, None, None]


def passes(split, augment):
    return list(split.batches(4, device=CPU, generator=torch.Generator().manual_seed(5), augment=augment))


@SELECTIONS
@pytest.mark.parametrize("augment", [False, True])
def test_batches_equal_the_kept_inputs_of_the_full_batches(full, kept, augment):
    reduced = select(full, kept)

    assert len(reduced) == len(full) == 9
    assert reduced.classes == 4
    assert reduced.scale == full.scale
    for (images, labels), (full_images, full_labels) in zip(
        passes(reduced, augment), passes(full, augment), strict=True
    ):
        assert torch.equal(images, by_hand(full_images, kept))
        assert torch.equal(labels, full_labels)


@SELECTIONS
def test_a_selected_split_can_be_pickled_and_moved_to_a_device(full, kept):
    reduced = select(full, kept)

    restored = pickle.loads(pickle.dumps(reduced.on(CPU)))  # noqa: S301  # written by this test

    assert len(restored) == 9
    for one, other in zip(passes(restored, True), passes(reduced, True), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_images_in_memory_are_reduced_once_and_keep_their_dtype(full):
    reduced = select(full, PIXELS)

    if isinstance(full, TensorSplit) and not full.crop_and_flip and full.images.shape[1:] == (3, 6, 6):
        assert isinstance(reduced, TensorSplit)
        assert reduced.images.shape == (9, 5, 1, 1)
        assert reduced.images.dtype == full.images.dtype
        assert reduced.mean.tolist() == MEANS
    else:
        assert isinstance(reduced, SelectedSplit)


@pytest.mark.parametrize("kept", [InputSelection("pixel", (5, 108)), InputSelection("channel", (3,))])
def test_images_without_a_kept_input_are_refused(full, kept):
    with pytest.raises(DataError, match=rf"the network reads {kept.kind} {kept.kept[-1]}, and the images have"):
        select(full, kept)


def test_repeated_grey_images_are_reduced_by_the_channels_of_the_network():
    train = load(DataSpec(dataset="digits"), root=None, channels=3, image_size=8, seed=0).train

    reduced = select(train, InputSelection("channel", (1,)))

    (images, _), (full_images, _) = (next(split.batches(16, device=CPU)) for split in (reduced, train))
    assert torch.equal(images, full_images[:, 1:2])
