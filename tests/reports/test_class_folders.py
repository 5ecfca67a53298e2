"""Folders of pictures as people have them: empty classes, files of tools and systems, mixed sizes, phone pictures."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from api.app import create_app
from api.settings import ApiSettings
from safs.data import folder, inspect, load
from safs.data.file_split import decode
from safs.data.training_images import notes_about
from safs.errors import DataError
from safs.reuse.keys import fingerprint
from safs.spec.data import DataSpec
from tests.api.conftest import from_this_machine

SPEC = DataSpec(dataset="image_folder", path="mine")


def write(folder: Path, count: int, size: tuple[int, int] = (12, 12), mode: str = "RGB", suffix: str = "png") -> None:
    rng = np.random.default_rng(len(str(folder)))
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
        picture = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
        picture.save(folder / f"{size[0]}-{number:03}.{suffix}")


def test_a_class_without_readable_pictures_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "cat", 6)
    write(tmp_path / "mine" / "dog", 6)
    write(tmp_path / "mine" / "bird", 3, suffix="gif")

    with pytest.raises(DataError, match=r"'bird' has no pictures.*3 \.gif") as caught:
        inspect(SPEC, tmp_path)

    assert caught.value.field == "data.path"


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX", "@eaDir", "$RECYCLE.BIN", "__pycache__"])
def test_folders_of_tools_and_systems_are_not_classes(tmp_path: Path, name: str) -> None:
    for label in ("cat", "dog", name):
        write(tmp_path / "mine" / label, 6)

    info = inspect(SPEC, tmp_path)

    assert (info.classes, info.train + info.validation + info.test) == (2, 12)
    assert info.notes == ()


def test_a_hidden_folder_beside_a_single_class_does_not_make_two(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "cat", 6)
    write(tmp_path / "mine" / ".ipynb_checkpoints", 6)

    with pytest.raises(DataError, match="1 class folder"):
        inspect(SPEC, tmp_path)


def test_hidden_files_are_skipped_and_others_are_counted_by_suffix(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "cat", 6)
    write(tmp_path / "mine" / "dog", 6)
    write(tmp_path / "mine" / "dog" / "more", 2)
    for name in ("._12-000.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "mine" / "cat" / name).write_bytes(b"no picture")
    for name in ("a.gif", "b.GIF", "notes.txt", "LICENSE"):
        (tmp_path / "mine" / "cat" / name).write_bytes(b"no picture")

    info = inspect(SPEC, tmp_path)

    assert info.train + info.validation + info.test == 12
    assert info.notes == (
        "data.path 'mine': 4 files are not pictures and are not used: 2 .gif, 1 without a suffix, 1 .txt. "
        "1 folder inside of the class folders is not used.",
    )


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_validation_folders_of_every_usual_name_are_used(tmp_path: Path, name: str) -> None:
    for label in ("cat", "dog"):
        write(tmp_path / "mine" / "train" / label, 10)
        write(tmp_path / "mine" / name / label, 2)

    assert inspect(SPEC, tmp_path).validation == 4


def test_two_validation_folders_are_refused(tmp_path: Path) -> None:
    for part in ("train", "val", "valid"):
        for label in ("cat", "dog"):
            write(tmp_path / "mine" / part / label, 6)

    with pytest.raises(DataError, match="val and valid"):
        inspect(SPEC, tmp_path)


def test_other_folders_beside_train_are_named(tmp_path: Path) -> None:
    for part in ("train", "holdout"):
        for label in ("cat", "dog"):
            write(tmp_path / "mine" / part / label, 6)

    assert inspect(SPEC, tmp_path).notes == ("data.path 'mine': beside train, holdout is not used.",)


@pytest.mark.parametrize("parts", [("test", "val"), ("test", "validation", "unlabelled")])
def test_splits_without_a_training_folder_are_not_classes(tmp_path: Path, parts: tuple[str, ...]) -> None:
    for part in parts:
        write(tmp_path / "mine" / part, 6)
        write(tmp_path / "mine" / part / "cat", 6)

    with pytest.raises(DataError, match=r"has test and val.* but no train"):
        inspect(SPEC, tmp_path)


def test_size_and_channels_come_from_all_pictures(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "a", 1, size=(90, 90), mode="L")
    write(tmp_path / "mine" / "a", 8, size=(40, 30), mode="L")
    write(tmp_path / "mine" / "b", 8, size=(30, 40), mode="L")

    grey = inspect(SPEC, tmp_path)
    write(tmp_path / "mine" / "b", 1, size=(50, 50), mode="RGB")
    colour = inspect(SPEC, tmp_path)

    assert (grey.channels, grey.image_size) == (1, 30)
    assert (colour.channels, colour.image_size) == (3, 30)


def test_a_damaged_picture_is_named_before_a_job_starts(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "a", 6)
    write(tmp_path / "mine" / "b", 6)
    (tmp_path / "mine" / "b" / "zzz.png").write_bytes(b"no picture")

    with pytest.raises(DataError, match=r"zzz\.png cannot be read as a picture"):
        inspect(SPEC, tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))])
def test_the_orientation_of_a_camera_is_applied(
    tmp_path: Path, suffix: str, orientation: int, corner: tuple[int, int]
) -> None:
    picture = Image.new("L", (16, 16), 0)
    picture.paste(255, (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    picture.convert("RGB").save(tmp_path / f"picture.{suffix}", exif=exif, **options)

    pixels = decode(str(tmp_path / f"picture.{suffix}"), channels=1, image_size=16)[0]

    bright = {place: int(pixels[place]) > 128 for place in ((0, 0), (0, -1), (-1, 0), (-1, -1))}
    assert [place for place, is_bright in bright.items() if is_bright] == [corner]


def test_damaged_exif_data_do_not_make_a_picture_unreadable(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (9, 9, 9)).save(tmp_path / "picture.jpg", exif=b"Exif\0\0no exif data at all")

    assert decode(str(tmp_path / "picture.jpg"), 3, 16).unique().tolist() == [9]


def test_names_that_are_not_utf8_are_read_and_shown_in_messages(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "a", 6)
    write(tmp_path / "mine" / "b", 6)
    strange = os.fsencode(tmp_path / "mine" / "b") + b"/caf\xe9.png"
    os.rename(tmp_path / "mine" / "b" / "12-000.png", strange)

    assert load(SPEC, root=tmp_path, channels=3, image_size=12, seed=0).classes == 2

    with open(strange, "wb") as file:
        file.write(b"no picture")
    with pytest.raises(DataError, match=r"caf\\udce9\.png cannot be read as a picture") as caught:
        inspect(SPEC, tmp_path)
    caught.value.message.encode()


def test_a_damaged_picture_with_a_name_that_is_not_utf8_is_a_problem_of_the_request(
    tmp_path: Path, sqlite_url: str
) -> None:
    folder = tmp_path / "home" / "data" / "mine"
    for label in ("a", "b"):
        write(folder / label, 6)
    with open(os.fsencode(folder / "b") + b"/caf\xe9.png", "wb") as file:
        file.write(b"no picture")
    app = create_app(ApiSettings(home=tmp_path / "home", database_url=sqlite_url, estimate_limit_s=0))
    data = {"dataset": "image_folder", "path": "mine"}

    with from_this_machine(app) as http:
        response = http.post("/v1/jobs", json={"model": {"architecture": "mlp"}, "data": data, "sparsity": 0.5})

    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "data_unavailable")
    assert "caf\\udce9.png cannot be read as a picture" in problem["detail"]


def test_a_check_of_a_job_names_the_files_that_are_not_used(tmp_path: Path, sqlite_url: str) -> None:
    folder = tmp_path / "home" / "data" / "mine"
    for label in ("a", "b"):
        write(folder / label, 6)
    (folder / "a" / "animation.gif").write_bytes(b"no picture")
    app = create_app(ApiSettings(home=tmp_path / "home", database_url=sqlite_url, estimate_limit_s=0))
    data = {"dataset": "image_folder", "path": "mine"}

    with from_this_machine(app) as http:
        job = {"model": {"architecture": "mlp"}, "data": data, "sparsity": 0.5}
        response = http.post("/v1/jobs?validate_only=true", json=job)

    assert response.json()["notes"] == ["data.path 'mine': 1 file is not a picture and is not used: 1 .gif."]


def test_files_and_classes_whose_names_are_not_utf8_have_a_fingerprint_and_legible_notes(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "a", 12)
    write(tmp_path / "mine" / "b", 12)
    os.rename(tmp_path / "mine" / "b", os.fsencode(tmp_path / "mine") + b"/caf\xe9")
    train = folder.load(SPEC, tmp_path, 3, 12, 0, memory_limit_bytes=0).train

    notes = notes_about(torch.zeros(2, 1, 4, 4), torch.tensor([0]), ["a", "caf\udce9"])

    assert len(fingerprint(train)) == 64
    assert notes[1] == "1 of 2 classes have no training image: caf\\udce9."
