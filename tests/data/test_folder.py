"""image_folder, decoded in advance and from files."""

from dataclasses import replace

import pytest
import torch

from safs.data import folder, inspect, load
from safs.data.file_split import FileSplit, decode
from safs.data.tensor_split import TensorSplit
from safs.errors import DataError
from safs.spec.data import DataSpec

SPEC = DataSpec(dataset="image_folder", path="mine")
CPU = torch.device("cpu")


def test_existing_splits_are_used_and_the_others_are_split_off_train(tmp_path, write_pictures):
    write_pictures(tmp_path / "mine" / "train", {"cat": 20, "dog": 10})
    write_pictures(tmp_path / "mine" / "val", {"dog": 3})

    info = inspect(SPEC, tmp_path)
    splits = load(SPEC, root=tmp_path, channels=3, image_size=12, seed=0)

    assert (info.channels, info.image_size, info.classes) == (3, 12, 2)
    assert (info.train, info.validation, info.test) == (24, 3, 6)
    assert next(splits.validation.batches(9, device=CPU))[1].tolist() == [1, 1, 1]
    assert len(splits.train) == 24


def test_grey_pictures_have_one_channel(tmp_path, write_pictures):
    write_pictures(tmp_path / "mine", {"a": 6, "b": 6}, mode="L")

    assert inspect(SPEC, tmp_path).channels == 1


def test_pictures_beyond_the_memory_limit_stay_in_files_and_give_the_same_pixels(tmp_path, write_pictures):
    write_pictures(tmp_path / "mine", {"cat": 20, "dog": 20})

    in_memory = folder.load(SPEC, tmp_path, 3, 10, 0).train
    from_files = folder.load(SPEC, tmp_path, 3, 10, 0, memory_limit_bytes=1000).train
    assert isinstance(in_memory, TensorSplit)
    assert isinstance(from_files, FileSplit)
    from_files = replace(from_files, workers=0)

    def passes(split):
        generator = torch.Generator().manual_seed(0)
        return list(split.batches(8, device=CPU, generator=generator, augment=True))

    for (images, labels), (other_images, other_labels) in zip(passes(in_memory), passes(from_files), strict=True):
        assert torch.allclose(images, other_images, atol=1e-5)
        assert torch.equal(labels, other_labels)


def test_worker_processes_give_the_same_batches_and_leave_the_global_generator(tmp_path, write_pictures):
    write_pictures(tmp_path / "mine", {"cat": 6, "dog": 6})
    split = folder.load(SPEC, tmp_path, 3, 10, 0, memory_limit_bytes=0).train
    before = torch.get_rng_state()

    in_process = list(replace(split, workers=0).batches(4, device=CPU))
    in_worker = list(replace(split, workers=1).batches(4, device=CPU))

    assert all(torch.equal(one[0], other[0]) for one, other in zip(in_process, in_worker, strict=True))
    assert torch.equal(before, torch.get_rng_state())


def test_a_picture_is_scaled_by_its_shorter_side_and_cropped_to_the_middle(tmp_path):
    from PIL import Image

    picture = Image.new("L", (30, 10), 0)
    picture.paste(200, (10, 0, 20, 10))  # the middle third
    picture.save(tmp_path / "picture.png")

    pixels = decode(str(tmp_path / "picture.png"), channels=1, image_size=10)

    assert pixels.shape == (1, 10, 10)
    assert bool((pixels == 200).all())


def test_the_error_names_a_file_that_is_not_a_picture(tmp_path, write_pictures):
    write_pictures(tmp_path / "mine", {"a": 6, "b": 6})
    (tmp_path / "mine" / "b" / "broken.png").write_bytes(b"no picture")

    with pytest.raises(DataError, match=r"broken\.png cannot be read as a picture"):
        load(SPEC, root=tmp_path, channels=3, image_size=8, seed=0)


def test_at_most_a_sample_of_the_headers_is_read(tmp_path, write_pictures, monkeypatch):
    write_pictures(tmp_path / "mine", {"a": 20, "b": 20})
    opened = []
    open_picture = folder.open_picture
    monkeypatch.setattr(folder, "open_picture", lambda file: opened.append(file) or open_picture(file))
    monkeypatch.setattr(folder, "HEADER_SAMPLES", 8)

    assert inspect(SPEC, tmp_path).image_size == 12
    assert len(opened) == 8


def test_other_files_beside_the_pictures_are_ignored(tmp_path, write_pictures):
    write_pictures(tmp_path / "mine", {"a": 6, "b": 6})
    (tmp_path / "mine" / "README.txt").write_text("mine")
    (tmp_path / "mine" / "a" / "notes.txt").write_text("mine")

    info = inspect(SPEC, tmp_path)

    assert info.train + info.validation + info.test == 12


def test_links_out_of_the_root_are_refused_for_folders_and_files(tmp_path, write_pictures):
    root = tmp_path / "root"
    write_pictures(tmp_path / "outside", {"c": 3})
    write_pictures(root / "mine", {"a": 6, "b": 6})
    (root / "mine" / "c").symlink_to(tmp_path / "outside" / "c")

    with pytest.raises(DataError, match="leads out of the data root"):
        inspect(SPEC, root)

    (root / "mine" / "c").unlink()
    (root / "mine" / "b" / "picture.png").symlink_to(tmp_path / "outside" / "c" / "000.png")
    with pytest.raises(DataError, match="leads out of the data root"):
        inspect(SPEC, root)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"mine/a": 3}, "has 1 class folder"),
        ({"mine/train/a": 3, "mine/train/b": 3, "mine/test/c": 1}, "c is not a class of the training pictures"),
        ({"mine/a": 1, "mine/b": 1}, "leave none to train on"),
    ],
)
def test_folders_in_another_layout_are_refused(tmp_path, write_pictures, layout, message):
    for path, samples in layout.items():
        write_pictures(tmp_path / path.rpartition("/")[0], {path.rpartition("/")[2]: samples})

    with pytest.raises(DataError, match=message):
        inspect(SPEC, tmp_path)


def test_folders_without_pictures_are_refused(tmp_path):
    for label in "ab":
        (tmp_path / "mine" / label).mkdir(parents=True)

    with pytest.raises(DataError, match="the class folders 'a', 'b' have no pictures"):
        inspect(SPEC, tmp_path)
