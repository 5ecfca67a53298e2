"""Large pictures: a default ceiling for the input, and networks that no machine holds refused before any allocation."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from safs.errors import SpecError
from safs.preflight import LARGEST_DEFAULT_SIZE, check
from safs.spec.job import JobSpec

MLP: dict[str, Any] = {"model": {"architecture": "mlp"}, "sparsity": 0.5}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of 3000x4000 in two classes."""
    root = tmp_path_factory.mktemp("root")
    for name in "ab":
        (root / "pictures" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (3000, 4000), (number * 80, 10, 90)).save(root / "pictures" / name / f"{number}.png")
    return root


def _job(changes: dict[str, Any], data: dict[str, Any]) -> JobSpec:
    split = {"validation_fraction": 0.34, "test_fraction": 0.34}
    return JobSpec.model_validate(
        MLP | {"data": {"dataset": "image_folder", "path": "pictures"} | split | data} | changes
    )


def test_large_pictures_are_resized_to_the_default_ceiling(pictures: Path) -> None:
    preflight = check(_job({}, {}), data_root=pictures, weights=None)

    assert LARGEST_DEFAULT_SIZE == 256
    assert preflight.blueprint.image_size == 256
    # 3 x 256 x 256 inputs to 256 neurons, and the layers after them: 50 million weights, not 6.9 billion.
    assert preflight.weights == 3 * 256 * 256 * 256 + 256 * 128 + 128 * 64 + 64 * 2
    assert any("data.image_size" in note and "3000" in note for note in preflight.notes)


def test_a_size_that_is_asked_for_is_not_capped(pictures: Path) -> None:
    preflight = check(_job({}, {"image_size": 512}), data_root=pictures, weights=None)

    assert preflight.blueprint.image_size == 512
    assert preflight.notes == ()


def test_a_network_whose_training_fits_no_machine_is_refused(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safs.preflight.MOST_TRAINING_BYTES", 8 * 10**9)
    monkeypatch.setattr("safs.preflight._machine_bytes", lambda: 10**10)

    # 3 x 1024 x 1024 x 256 = 805 million weights at 16 bytes each: weight, gradient and Adam's two moments.
    with pytest.raises(SpecError, match=r"805,\d+,\d+ parameters takes about 12\.9 GB .*data\.image_size") as refused:
        check(_job({}, {"image_size": 1024}), data_root=pictures, weights=None)
    assert refused.value.field == "model.architecture"
