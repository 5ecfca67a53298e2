import pytest
import torch

from safs.data import TensorSplit
from safs.data.features import SelectedSplit, select
from safs.inputs import InputSelection
from workers.on_ray.shared_data import pack, unpack

CPU = torch.device("cpu")


def split(*, crop_and_flip):
    images = torch.randint(0, 256, (5, 3, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mean, std = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0])
    return TensorSplit(images, torch.arange(5), mean, std, 5, 3, 6, crop_and_flip)


@pytest.mark.parametrize("kept", [None, InputSelection("pixel", (3, 50)), InputSelection("channel", (1,))])
@pytest.mark.parametrize("crop_and_flip", [False, True])
def test_a_split_in_memory_is_sent_as_arrays_and_gives_the_same_batches(crop_and_flip, kept):
    sent = split(crop_and_flip=crop_and_flip)
    sent = sent if kept is None else select(sent, kept)

    shared = pack(sent)
    received = unpack(shared)

    assert type(received) is type(sent)
    assert shared.split is None  # Only arrays, which Ray maps without a copy.
    assert {str(array.dtype) for array in shared.arrays.values()} == {"uint8", "int64", "float32"}
    first, same = (
        next(part.batches(5, device=CPU, generator=torch.Generator().manual_seed(0), augment=True))
        for part in (sent, received)
    )
    assert torch.equal(first[0], same[0])
    assert torch.equal(first[1], same[1])


def test_a_split_of_files_is_sent_as_itself():
    class FileSplit:
        """A split whose images are not in memory."""

    sent = SelectedSplit(FileSplit(), InputSelection("channel", (1,)))

    received = unpack(pack(sent))

    assert received.split is sent.split
    assert received.kept == sent.kept
