"""Finding, reading and downloading idx files."""

import functools
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from torchvision import datasets

from safs.data import inspect, load
from safs.data.mnist import IdxDataset
from safs.errors import DataError
from safs.spec.data import DataSpec

SPEC = DataSpec(dataset="fashion_mnist")
NOWHERE = "http://127.0.0.1:9/"
"""The discard port: nothing listens there."""


def test_files_of_a_system_package_are_found_without_a_data_root(tmp_path, write_mnist):
    write_mnist(tmp_path / "package", zipped=True)
    source = IdxDataset("FashionMNIST", system_folder=tmp_path / "package")

    outline, arrays = source.outline(SPEC, None), source.read(SPEC, None)

    assert (outline.image_size, outline.samples, outline.test_samples) == (28, 60, 20)
    assert arrays.samples.images.shape == (60, 1, 28, 28)
    assert arrays.samples.labels.tolist() == [number % 10 for number in range(60)]


def test_files_under_the_data_root_take_precedence_over_a_system_package(tmp_path, write_mnist, write_idx):
    write_mnist(tmp_path / "package", zipped=True)
    write_mnist(tmp_path / "root" / "FashionMNIST" / "raw")
    write_idx(tmp_path / "root/FashionMNIST/raw/t10k-images-idx3-ubyte", np.full((20, 28, 28), 7), zipped=False)
    source = IdxDataset("FashionMNIST", system_folder=tmp_path / "package")

    test = source.read(SPEC, tmp_path / "root").test

    assert test is not None
    assert bool((test.images == 7).all())


def test_the_error_for_files_that_cannot_be_downloaded_has_folders_urls_and_hint(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [NOWHERE])
    source = IdxDataset("FashionMNIST", system_folder=tmp_path / "none", hint=" Install the package.")

    for attempt in (source.outline, source.read):
        with pytest.raises(DataError, match=r"FashionMNIST/raw.*none.*127\.0\.0\.1.*Install the package"):
            attempt(SPEC, tmp_path)


def test_missing_files_are_downloaded_from_a_mirror(tmp_path, monkeypatch, write_mnist, capsys):
    write_mnist(tmp_path / "served", zipped=True)
    resources = [
        (file.name, hashlib.md5(file.read_bytes()).hexdigest()) for file in sorted((tmp_path / "served").iterdir())
    ]
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setattr(datasets.MNIST, "resources", resources)
        spec = DataSpec(dataset="mnist")
        info = inspect(spec, tmp_path)
        splits = load(spec, root=tmp_path, channels=1, image_size=28, seed=0)
        server.shutdown()
        thread.join()

    assert (info.train, info.validation, info.test) == (54_000, 6_000, 10_000)  # The published sizes.
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (54, 6, 20)


@pytest.mark.parametrize("damage", ["truncated", "not idx", "empty", "bad gzip"])
def test_the_error_names_a_damaged_file(tmp_path, write_mnist, damage):
    folder = tmp_path / "MNIST" / "raw"
    write_mnist(folder, zipped=damage == "bad gzip")
    file = folder / ("train-images-idx3-ubyte" + (".gz" if damage == "bad gzip" else ""))
    content = file.read_bytes()
    file.write_bytes(
        {"truncated": content[:-5], "not idx": b"PK" + content, "empty": b"", "bad gzip": content[:300]}[damage]
    )

    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        IdxDataset("MNIST").read(DataSpec(dataset="mnist"), tmp_path)


def test_labels_that_do_not_match_the_images_are_refused(tmp_path, write_mnist, write_idx):
    write_mnist(tmp_path / "MNIST")
    write_idx(tmp_path / "MNIST/train-labels-idx1-ubyte", np.zeros(59), zipped=False)

    with pytest.raises(DataError, match=r"images \(60, 28, 28\), labels \(59,\)"):
        IdxDataset("MNIST").read(DataSpec(dataset="mnist"), tmp_path)
