"""CIFAR-10 and CIFAR-100: 32x32 colour photographs, read by torchvision and downloaded if they are missing.

The files are pickles. torchvision compares their MD5 with the published one before it opens them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from safs.data.arrays import Arrays, Labelled, Outline, as_labelled
from safs.data.locations import missing, reachable, required
from safs.spec.data import DataSpec


@dataclass(frozen=True, slots=True)
class CifarDataset:
    """Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009): 50,000 and 10,000 images."""

    torchvision_name: str
    classes: int

    def outline(self, spec: DataSpec, root: Path | None) -> Outline:
        published, folder = self._torchvision(), required(root, spec.dataset)
        files = [name for name, _ in published.train_list + published.test_list]
        complete = all((folder / published.base_folder / name).exists() for name in files)
        if not complete and not reachable([published.url]):
            raise missing(spec.dataset, [folder / published.base_folder], [published.url])
        return Outline(channels=3, image_size=32, classes=self.classes, samples=50_000, test_samples=10_000)

    def read(self, spec: DataSpec, root: Path | None) -> Arrays:
        published, folder = self._torchvision(), required(root, spec.dataset)
        try:
            train = published(str(folder), train=True, download=True)  # Downloads files only if missing or altered.
            test = published(str(folder), train=False)
        except (RuntimeError, OSError) as error:
            raise missing(spec.dataset, [folder / published.base_folder], [published.url]) from error
        return Arrays(_labelled(train), _labelled(test), self.classes, crop_and_flip=True)

    def _torchvision(self) -> Any:
        from torchvision import datasets  # The import takes a second, and only these data sets need it.

        return getattr(datasets, self.torchvision_name)


def _labelled(dataset: Any) -> Labelled:
    return as_labelled(dataset.data.transpose(0, 3, 1, 2), np.array(dataset.targets))
