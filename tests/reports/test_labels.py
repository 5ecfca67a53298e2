"""Labels as people have them: from 1, with gaps, and classes that only the test split has."""

from pathlib import Path

import numpy as np
import pytest

from safs.data import inspect
from safs.errors import DataError
from safs.spec.data import DataSpec

SPEC = DataSpec(dataset="npz", path="mine.npz")
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
LABELS = np.arange(40) % 4


@pytest.mark.parametrize(
    ("labels", "test_labels", "message"),
    [
        (LABELS + 1, None, "y has the labels 1 to 4, and no image has the label 0. .*y - 1"),
        (LABELS * 2, None, "y has the labels 0 to 6, and no image has the labels 1, 3, 5"),
        (LABELS, np.array([0, 1, 2, 4]), "y_test has the label 4, which y does not have"),
        (LABELS * 0, None, "y has only the label 0; a classification needs two classes or more"),
        (LABELS * 0, np.array([0, 1, 1, 0]), "y has only the label 0"),
    ],
)
def test_labels_that_name_a_class_without_training_images_are_refused(
    tmp_path: Path, labels: np.ndarray, test_labels: np.ndarray | None, message: str
) -> None:
    tests = {} if test_labels is None else {"x_test": IMAGES[:4], "y_test": test_labels}
    np.savez(tmp_path / "mine.npz", x=IMAGES, y=labels, **tests)

    with pytest.raises(DataError, match=message) as caught:
        inspect(SPEC, tmp_path)

    assert caught.value.field == "data.path"


def test_classes_that_the_test_split_lacks_are_accepted(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=IMAGES, y=LABELS, x_test=IMAGES[:2], y_test=LABELS[:2])

    assert inspect(SPEC, tmp_path).classes == 4
