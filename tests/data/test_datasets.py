"""The contract of every data set, on small real files in its layout."""

import pytest
import torch

from safs.data import DATASETS, Splits, inspect, load
from safs.errors import DataError, UnknownNameError
from safs.spec.data import DataSpec

CPU = torch.device("cpu")
PUBLISHED_SIZES = {"cifar10", "cifar100"}
"""Data sets whose ``inspect`` gives the published sizes, since counting the images would read the pixels."""
PHOTOGRAPHS = {"cifar10", "cifar100", "imagenet16", "imagenet16_120", "caltech101", "image_folder", "upload"}
"""Data sets with an augmentation."""


def everything(splits: Splits) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [next(part.batches(2000, device=CPU)) for part in (splits.train, splits.validation, splits.test)]


@pytest.mark.parametrize("name", DATASETS)
def test_inspect_gives_the_sizes_that_load_returns(name, small_dataset):
    spec, root = small_dataset(name)

    info = inspect(spec, root)
    splits = load(spec, root=root, channels=info.channels, image_size=info.image_size, seed=0)

    assert splits.classes == splits.train.classes == info.classes
    sizes = [len(part) for part in (splits.train, splits.validation, splits.test)]
    assert sizes == [info.train, info.validation, info.test] or name in PUBLISHED_SIZES
    for images, labels in everything(splits):
        assert images.shape[1:] == (info.channels, info.image_size, info.image_size)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert 0 <= labels.min() <= labels.max() < info.classes


@pytest.mark.parametrize("name", DATASETS)
def test_images_have_the_requested_channels_and_size(name, small_dataset):
    spec, root = small_dataset(name)

    splits = load(spec, root=root, channels=3, image_size=17, seed=0)

    assert all(images.shape[1:] == (3, 17, 17) for images, _ in everything(splits))


@pytest.mark.parametrize("name", DATASETS)
def test_training_images_are_normalised_by_channel(name, small_dataset):
    spec, root = small_dataset(name)
    info = inspect(spec, root)

    splits = load(spec, root=root, channels=info.channels, image_size=info.image_size, seed=0)

    images, _ = everything(splits)[0]
    assert images.mean((0, 2, 3)).tolist() == pytest.approx([0.0] * info.channels, abs=1e-4)
    assert images.std((0, 2, 3), correction=0).tolist() == pytest.approx([1.0] * info.channels, abs=1e-4)


@pytest.mark.parametrize("name", DATASETS)
def test_splits_share_no_image_and_depend_on_the_seed_only(name, small_dataset):
    spec, root = small_dataset(name)
    info = inspect(spec, root)
    shape = {"channels": info.channels, "image_size": info.image_size}

    first, again, other = (everything(load(spec, root=root, seed=seed, **shape)) for seed in (0, 0, 1))

    prints = [{image.numpy().tobytes() for image in images} for images, _ in first]
    assert not prints[0] & prints[1]
    assert not prints[0] & prints[2]
    assert not prints[1] & prints[2]
    for part, same in zip(first, again, strict=True):
        assert torch.equal(part[0], same[0])
        assert torch.equal(part[1], same[1])
    assert first[0][0].shape == other[0][0].shape
    assert not torch.equal(first[0][0], other[0][0])


@pytest.mark.parametrize("name", DATASETS)
def test_only_a_generator_shuffles_batches_and_no_sample_is_lost(name, small_dataset):
    spec, root = small_dataset(name)
    train = load(spec, root=root, channels=3, image_size=8, seed=0).train

    def labels_of(seed: int | None) -> list[int]:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return torch.cat([labels for _, labels in train.batches(7, device=CPU, generator=generator)]).tolist()

    assert labels_of(None) == labels_of(None)
    assert labels_of(3) == labels_of(3) != labels_of(4)
    assert sorted(labels_of(3)) == sorted(labels_of(None))
    assert len(labels_of(3)) == len(train)


@pytest.mark.parametrize("name", DATASETS)
def test_only_photographs_are_augmented_and_only_on_request(name, small_dataset):
    spec, root = small_dataset(name)

    def first_batch(spec: DataSpec, augment: bool) -> torch.Tensor:
        train = load(spec, root=root, channels=3, image_size=8, seed=0).train
        generator = torch.Generator().manual_seed(0)
        return next(train.batches(16, device=CPU, generator=generator, augment=augment))[0]

    plain = first_batch(spec, augment=False)

    assert torch.equal(plain, first_batch(spec, augment=True)) == (name not in PHOTOGRAPHS)
    assert torch.equal(plain, first_batch(spec.model_copy(update={"augment": "none"}), augment=True))


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if entry.needs_path])
@pytest.mark.parametrize("path", ["../outside", "/etc", "a/../../outside", "link", "nothing", None])
def test_paths_out_of_the_root_and_missing_paths_are_refused(name, path, tmp_path):
    (tmp_path / "outside").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "outside")

    with pytest.raises(DataError) as caught:
        inspect(DataSpec(dataset=name, path=path), root)

    assert caught.value.field == "data.path"


@pytest.mark.parametrize("name", [name for name in DATASETS if name not in {"digits", "fashion_mnist", "upload"}])
def test_a_data_set_of_files_needs_a_root(name):
    with pytest.raises(DataError, match="SAFS_DATA_ROOT"):
        inspect(DataSpec(dataset=name, path="mine"), None)


def test_the_error_for_an_unknown_data_set_suggests_a_known_one():
    with pytest.raises(UnknownNameError, match="Did you mean 'cifar10'") as caught:
        inspect(DataSpec(dataset="cifar11"), None)

    assert caught.value.field == "data.dataset"
