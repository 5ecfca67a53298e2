"""Splits reduced to the pixels or channels that a network reads; see ``safs.inputs``."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from safs.data.file_split import FileSplit
from safs.data.split import Split
from safs.data.tensor_split import TensorSplit
from safs.data.wrapped_split import WrappedSplit
from safs.errors import DataError
from safs.inputs import InputSelection, SelectInputs


def select(split: Split, kept: InputSelection) -> Split:
    """A split whose batches hold the kept inputs only: [B, k, 1, 1] for pixels, [B, k, H, W] for channels.

    The values equal those of the full batches exactly: each input is normalised by the mean and standard deviation of
    its channel. Images in memory are reduced once, unless each batch is augmented or resized first.

    Raises:
        DataError: ``kept`` names an input that the images do not have.
    """
    if isinstance(split, TensorSplit | FileSplit):
        _check(split, kept)
    if isinstance(split, TensorSplit) and not split.crop_and_flip and _has_final_size(split):
        return _reduced(split, kept)
    return SelectedSplit(split, kept)


@dataclass(frozen=True, slots=True)
class SelectedSplit(WrappedSplit):
    """A split whose batches are augmented and normalised as a whole, then reduced to the kept inputs."""

    kept: InputSelection

    def batches(
        self,
        batch_size: int,
        *,
        device: torch.device,
        generator: torch.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        reduce = SelectInputs(self.kept).to(device)
        for images, labels in self.split.batches(batch_size, device=device, generator=generator, augment=augment):
            yield reduce(images), labels


def _has_final_size(split: TensorSplit) -> bool:
    return split.images.shape[1:] == (split.channels, split.image_size, split.image_size)


def _check(split: TensorSplit | FileSplit, kept: InputSelection) -> None:
    inputs = split.channels * (split.image_size**2 if kept.kind == "pixel" else 1)
    if kept.kept[-1] >= inputs:
        raise DataError(
            f"the network reads {kept.kind} {kept.kept[-1]}, and the images have {inputs} {kept.kind}s "
            f"({split.channels} x {split.image_size} x {split.image_size}); give images of the size that the network "
            "was pruned for.",
            field="data",
        )


def _reduced(split: TensorSplit, kept: InputSelection) -> TensorSplit:
    images = SelectInputs(kept).to(split.images.device)(split.images)
    area = split.image_size**2 if kept.kind == "pixel" else 1
    channels = torch.tensor(kept.kept, device=split.mean.device) // area
    return replace(
        split,
        images=images,
        mean=split.mean[channels],
        std=split.std[channels],
        channels=len(kept.kept),
        image_size=images.shape[-1],
    )
