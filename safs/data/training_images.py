"""Notes about training images that a network cannot learn from."""

from collections.abc import Sequence

import torch
from torch import Tensor

from safs.data.tensor_split import CHUNK
from safs.errors import legible

MAX_CLASSES = 10
"""Largest number of classes that a note lists."""


def notes_about(images: Tensor, labels: Tensor, classes: Sequence[object]) -> tuple[str, ...]:
    """Sentences about training images that are all equal, and about classes without a training image.

    Args:
        images: training images, or a sample of them, [N, C, H, W].
        labels: labels of all training images, int64 [M].
        classes: names of the classes.
    """
    notes = []
    if _all_equal(images):
        value = images.flatten()[0].item()
        constant = bool((images[0] == value).all())
        what = f"all pixels of the training images are {value:g}" if constant else "all training images are equal"
        notes.append(f"{what}, so that a network cannot learn from them. Look at the files of the data set.")
    present = set(labels.unique().tolist())
    if absent := [legible(str(name)) for number, name in enumerate(classes) if number not in present]:
        listed = ", ".join(absent[:MAX_CLASSES]) + (", ..." if len(absent) > MAX_CLASSES else "")
        notes.append(f"{len(absent):,} of {len(classes):,} classes have no training image: {listed}.")
    return tuple(notes)


def _all_equal(images: Tensor) -> bool:
    first = images[:1]
    return all(torch.equal(chunk, first.expand_as(chunk)) for chunk in torch.split(images, CHUNK))
