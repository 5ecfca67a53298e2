"""Processes that decode pictures live as long as the data set, not as long as a pass over it."""

import gc
import os
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from safs.data import folder
from safs.data.decoders import Decoders, Sample
from safs.data.file_split import FileSplit
from safs.spec.data import DataSpec
from tests.waiting import wait_until

BATCHES: Sequence[Sequence[Sample]] = [[("a", 1), ("bb", 2)], [("ccc", 3), ("dddd", 4)], [("eeeee", 5)]]


@dataclass(frozen=True)
class Told:
    """A "picture" of a file: the length of its name, and the process that decoded it."""

    def __call__(self, file: str) -> Tensor:
        if file == "broken":
            os._exit(3)
        return torch.tensor([len(file), os.getpid()])


def run(
    decoders: Decoders, batches: Sequence[Sequence[Sample]] = BATCHES, workers: int = 1
) -> tuple[list[int], set[int]]:
    """Lengths of the names, and the processes of a pass."""
    images, labels = zip(*decoders.batches(Told(), batches, workers=workers, pin_memory=False), strict=True)
    told = torch.cat(images)
    assert torch.cat(labels).tolist() == told[:, 0].tolist()
    assert torch.cat(labels).dtype == torch.int64
    return told[:, 0].tolist(), set(told[:, 1].tolist())


def _is_gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_processes_are_kept_from_pass_to_pass_until_their_owner_ends() -> None:
    decoders = Decoders()

    (first, processes), (second, same) = run(decoders), run(decoders, BATCHES[::-1])

    assert (first, second) == ([1, 2, 3, 4, 5], [5, 3, 4, 1, 2])
    assert processes == same
    assert os.getpid() not in processes
    del decoders
    gc.collect()
    wait_until(lambda: all(map(_is_gone, processes)))


def test_a_pass_that_was_left_in_the_middle_spoils_none_after_it() -> None:
    decoders = Decoders()
    abandoned = decoders.batches(Told(), BATCHES, workers=1, pin_memory=False)
    next(abandoned)
    abandoned.close()

    assert run(decoders)[0] == [1, 2, 3, 4, 5]


def test_two_passes_at_once_have_processes_of_their_own() -> None:
    decoders = Decoders()
    _, kept = run(decoders)
    other = decoders.batches(Told(), BATCHES, workers=1, pin_memory=False)
    next(other)

    lengths, processes = run(decoders)

    assert lengths == [1, 2, 3, 4, 5]
    assert not processes & kept
    assert len(list(other)) == 2


@pytest.mark.exhaustive  # torch looks for dead processes every 5 s
def test_after_the_death_of_a_process_the_next_pass_starts_others() -> None:
    decoders = Decoders()
    _, before = run(decoders)

    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        run(decoders, [[("broken", 1)]])

    lengths, after = run(decoders)
    assert lengths == [1, 2, 3, 4, 5]
    assert not before & after


def test_without_processes_this_one_decodes() -> None:
    assert run(Decoders(), workers=0) == ([1, 2, 3, 4, 5], {os.getpid()})


def test_the_splits_of_a_data_set_share_them_and_a_copy_has_its_own(tmp_path: Path, write_pictures) -> None:
    write_pictures(tmp_path / "mine", {"cat": 6, "dog": 6})
    splits = folder.load(DataSpec(dataset="image_folder", path="mine"), tmp_path, 3, 10, 0, memory_limit_bytes=0)
    train, validation = splits.train, splits.validation
    assert isinstance(train, FileSplit)
    assert isinstance(validation, FileSplit)

    list(train.batches(4, device=torch.device("cpu")))
    loader = train.decoders._loader
    list(validation.batches(4, device=torch.device("cpu")))

    assert train.decoders._loader is validation.decoders._loader is loader is not None
    copied = deepcopy(train)
    assert copied.decoders._loader is None
    assert copied.files == train.files
