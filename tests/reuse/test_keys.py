"""Keys change with everything that an output depends on, and with nothing else."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from safs import data
from safs.data import TensorSplit
from safs.execution.training import Training
from safs.networks import Blueprint
from safs.reuse.keys import code_version, file_hash, fingerprint, key_of
from safs.spec.data import DataSpec
from safs.spec.training import Recipe

TRAINING = Training({"act1": "tanh", "act2": "elu"}, Recipe(), epochs=3, seed=0)


def split() -> TensorSplit:
    images = torch.arange(2 * 1 * 4 * 4, dtype=torch.uint8).view(2, 1, 4, 4)
    return TensorSplit(images, torch.tensor([0, 1]), torch.tensor([1.0]), torch.tensor([2.0]), 2, 1, 4, False)


def test_equal_parts_have_equal_keys_whatever_the_order_of_their_names() -> None:
    first = key_of(work=TRAINING, model=Blueprint("mlp", 1, 8, 10))
    swapped = replace(TRAINING, assignment={"act2": "elu", "act1": "tanh"})

    assert key_of(model=Blueprint("mlp", 1, 8, 10), work=swapped) == first
    assert len(first) == 64


@pytest.mark.parametrize(
    "other",
    [
        replace(TRAINING, seed=1),
        replace(TRAINING, epochs=4),
        replace(TRAINING, learnable=True),
        replace(TRAINING, assignment={"act1": "tanh", "act2": "tanh"}),
        replace(TRAINING, recipe=Recipe(learning_rate=1e-3 + 1e-18 * 1e3)),
        replace(TRAINING, recipe=Recipe(schedule="one_cycle")),
    ],
)
def test_a_training_that_differs_anywhere_has_another_key(other: Training) -> None:
    assert key_of(work=other) != key_of(work=TRAINING) or other == TRAINING


def test_the_key_is_the_same_in_another_process_with_another_hash_seed() -> None:
    script = (
        "from safs.reuse.keys import key_of; from safs.spec.training import Recipe;"
        "from safs.execution.training import Training;"
        "print(key_of(work=Training({'act1': 'tanh', 'act2': 'elu'}, Recipe(), epochs=3, seed=0)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )

    assert ran.stdout.strip() == key_of(work=TRAINING)


def test_the_programs_version_is_part_of_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(work=TRAINING)
    monkeypatch.setattr("safs.reuse.keys.code_version", lambda: "another")

    assert key_of(work=TRAINING) != before
    assert len(code_version()) == 64


def test_a_tensor_cannot_be_part_of_a_key() -> None:
    with pytest.raises(TypeError, match="Tensor cannot be part of a key"):
        key_of(weights=torch.zeros(2))


def test_a_fingerprint_changes_with_a_single_pixel_and_a_single_label() -> None:
    changed_pixel, changed_label = split(), split()
    changed_pixel.images[1, 0, 3, 3] += 1
    changed_label.labels[0] = 1

    assert fingerprint(split()) == fingerprint(split())
    assert len({fingerprint(split()), fingerprint(changed_pixel), fingerprint(changed_label)}) == 3


def test_images_in_files_are_identified_by_name_size_and_time(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (16, 16), number).save(tmp_path / "pictures" / name / f"{number}.png")

    def load() -> str:
        spec = DataSpec(dataset="image_folder", path="pictures")
        return fingerprint(data.folder.load(spec, tmp_path, 1, 16, 0, memory_limit_bytes=0).train)

    before = load()
    assert load() == before
    for file in (tmp_path / "pictures").rglob("*.png"):
        Image.new("L", (16, 16), 200).save(file)
    assert load() != before


def test_a_files_hash_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")

    assert file_hash(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
