"""CIFAR, read by torchvision."""

import pytest
from torchvision import datasets

from safs.data import inspect, load
from safs.errors import DataError
from safs.spec.data import DataSpec


@pytest.mark.parametrize(("name", "published"), [("cifar10", datasets.CIFAR10), ("cifar100", datasets.CIFAR100)])
def test_missing_files_that_cannot_be_downloaded_are_reported(tmp_path, monkeypatch, name, published):
    monkeypatch.setattr(published, "url", "http://127.0.0.1:9/cifar.tar.gz")
    spec = DataSpec(dataset=name)

    with pytest.raises(DataError, match=rf"{published.base_folder}.*127\.0\.0\.1"):
        inspect(spec, tmp_path)
    with pytest.raises(DataError, match=rf"{published.base_folder}.*127\.0\.0\.1"):
        load(spec, root=tmp_path, channels=3, image_size=32, seed=0)


def test_inspect_gives_the_published_sizes_without_opening_the_files(small_dataset):
    spec, root = small_dataset("cifar10")

    info = inspect(spec, root)

    assert (info.channels, info.image_size, info.classes) == (3, 32, 10)
    assert (info.train, info.validation, info.test) == (45_000, 5_000, 10_000)


def test_altered_files_are_not_unpickled(small_dataset, monkeypatch):
    spec, root = small_dataset("cifar10")
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")
    (root / datasets.CIFAR10.base_folder / "first").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")

    with pytest.raises(DataError, match="could not be downloaded"):
        load(spec, root=root, channels=3, image_size=32, seed=0)
