"""ImageNet at 16x16 pixels: the published layout from every writer, and files that do not follow it."""

import pickle
import struct
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safs.data import inspect, load
from safs.data.imagenet16 import FOLDER, TEST_FILES, TRAIN_FILES, ImageNet16
from safs.errors import DataError
from safs.spec.data import DataSpec

SPEC = DataSpec(dataset="imagenet16")
LABELS = [1, 1000, 7, 256, 65, 1]


def batch(seed=0, labels=LABELS):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (len(labels), 768), dtype=np.uint8)
    return {"data": pixels, "labels": labels, "mean": pixels.mean(axis=0)}


def python2(value):
    """Opcodes as Python 2's cPickle and numpy 1 write them in protocol 2, without the memo."""
    match value:
        case dict():
            return b"}(" + b"".join(python2(key) + python2(item) for key, item in value.items()) + b"u"
        case list():
            return b"](" + b"".join(map(python2, value)) + b"e"
        case tuple():
            return b"(" + b"".join(map(python2, value)) + b"t"
        case None | bool():
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case int():
            return b"J" + struct.pack("<i", value)
        case str():
            return b"U" + bytes([len(value)]) + value.encode()
        case np.ndarray():
            construct = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + python2((0,)) + b"U\x01btR"
            code, order = value.dtype.str[1:], value.dtype.str[0]
            dtype = (
                b"cnumpy\ndtype\n" + python2((code, 0, 1)) + b"R" + python2((3, order, *[None] * 3, -1, -1, 0)) + b"b"
            )
            content = b"T" + struct.pack("<i", value.nbytes) + value.tobytes()
            return construct + b"(" + python2(1) + python2(value.shape) + dtype + b"\x89" + content + b"tb"
    raise TypeError(type(value))


WRITERS = {
    "python 2": lambda content: b"\x80\x02" + python2(content) + b".",
    "protocol 2": lambda content: pickle.dumps(content, 2),
    "protocol 2 of numpy 1": lambda content: pickle.dumps(content, 2).replace(b"numpy._core.", b"numpy.core."),
    "protocol 3": lambda content: pickle.dumps(content, 3),
    "protocol 4": lambda content: pickle.dumps(content, 4),
    "protocol 5": lambda content: pickle.dumps(content, 5),
    "bytes as keys": lambda content: pickle.dumps({key.encode(): value for key, value in content.items()}, 3),
    "labels in an array": lambda content: pickle.dumps(content | {"labels": np.array(content["labels"])}, 4),
    "labels as scalars": lambda content: pickle.dumps(content | {"labels": list(np.array(content["labels"]))}, 2),
}


def write_all(root, write=WRITERS["protocol 3"]):
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate([*TRAIN_FILES, *TEST_FILES]):
        (root / FOLDER / name).write_bytes(write(batch(seed)))


@pytest.mark.parametrize("writer", WRITERS)
def test_pixels_and_labels_equal_the_files_for_every_writer(tmp_path, writer):
    write_all(tmp_path, WRITERS[writer])
    tested = batch(10)
    if not writer.startswith("labels"):  # Checks the test's file: Python reads the same arrays.
        content = pickle.loads((tmp_path / FOLDER / "val_data").read_bytes(), encoding="latin1")  # noqa: S301  # written by this test
        assert (content.get("data", content.get(b"data")) == tested["data"]).all()

    info = inspect(SPEC, tmp_path)
    splits = load(SPEC, root=tmp_path, channels=3, image_size=16, seed=0)

    assert (info.channels, info.image_size, info.classes) == (3, 16, 1000)
    assert (info.train, info.validation, info.test) == (54, 6, 6)
    assert splits.test.labels.tolist() == [label - 1 for label in LABELS]
    for channel, row, column in [(0, 0, 0), (1, 0, 3), (2, 15, 1)]:
        flat = 256 * channel + 16 * row + column
        assert (splits.test.images[:, channel, row, column].numpy() == tested["data"][:, flat]).all()
    trained = {image.numpy().tobytes() for part in (splits.train, splits.validation) for image in part.images}
    assert trained == {row.tobytes() for seed in range(10) for row in batch(seed)["data"]}


def test_imagenet16_120_uses_the_first_120_classes_only(tmp_path):
    write_all(tmp_path)
    spec = DataSpec(dataset="imagenet16_120")

    info = inspect(spec, tmp_path)
    splits = load(spec, root=tmp_path, channels=3, image_size=16, seed=0)

    assert (info.classes, info.train, info.validation, info.test) == (120, 36, 4, 4)
    assert splits.test.labels.tolist() == [0, 6, 64, 0]
    assert torch.equal(splits.test.images.flatten(1), torch.from_numpy(batch(10)["data"][[0, 2, 4, 5]]))


def test_the_error_for_missing_files_names_them_and_their_source(tmp_path):
    write_all(tmp_path)
    (tmp_path / FOLDER / "train_data_batch_7").unlink()
    (tmp_path / FOLDER / "val_data").unlink()

    with pytest.raises(DataError, match=r"no train_data_batch_7, val_data in .*image-net\.org") as caught:
        inspect(SPEC, tmp_path)

    assert caught.value.field == "data.dataset"


GOOD = batch()
PIXELS = GOOD["data"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([GOOD], "it has a list, not a dict"),
        ({"labels": LABELS}, "no array 'data'"),
        (GOOD | {"data": PIXELS.tolist()}, "no array 'data'"),
        (GOOD | {"data": PIXELS.astype(np.int16)}, "'data' is int16"),
        (GOOD | {"data": PIXELS[:, :767]}, r"shape \(6, 767\), not uint8 \[N, 768\]"),
        (GOOD | {"data": PIXELS.reshape(6, 3, 16, 16)}, r"shape \(6, 3, 16, 16\)"),
        (GOOD | {"data": PIXELS[0]}, r"shape \(768,\)"),
        (GOOD | {"data": np.array(7, np.uint8)}, r"shape \(\)"),
        (GOOD | {"data": PIXELS[:0], "labels": []}, r"shape \(0, 768\)"),
        ({"data": PIXELS}, "no list or array 'labels' of 6"),
        (GOOD | {"labels": (1,) * 6}, "no list or array 'labels' of 6"),
        (GOOD | {"labels": LABELS[:5]}, "6 images and 5 labels"),
        (GOOD | {"labels": np.array(LABELS[:5])}, "no list or array 'labels' of 6"),
        (GOOD | {"labels": np.array(LABELS, dtype=float)}, "no list or array 'labels' of 6"),
        (GOOD | {"labels": [*LABELS[:5], 0]}, "labels are 0 to 1000"),
        (GOOD | {"labels": [*LABELS[:5], 1001]}, "labels are 1 to 1001"),
        (GOOD | {"labels": [*LABELS[:5], -(2**63)]}, "labels are -9223372036854775808 to"),
        (GOOD | {"labels": np.array([*LABELS[:5], 2**64 - 1], dtype=np.uint64)}, "labels are -1 to"),
        (GOOD | {"labels": [*LABELS[:5], 2**64]}, "integer of 9 bytes"),
        (GOOD | {"labels": [*LABELS[:5], True]}, "not all integers"),
        (GOOD | {"labels": [*LABELS[:5], 2.0]}, "not all integers"),
        (GOOD | {"labels": [*LABELS[:5], np.float32(2)]}, "not all integers"),
        (GOOD | {"labels": [*LABELS[:5], np.arange(2)]}, "not all integers"),
        (GOOD | {"labels": np.array(LABELS, dtype=object)}, "dtype 'O8'"),
        (GOOD | {"more": inspect}, "names 'safs.data.inspect'"),
    ],
)
def test_a_malformed_file_is_refused_with_its_path_a_reason_and_a_remedy(tmp_path, content, message):
    write_all(tmp_path)
    (tmp_path / FOLDER / "train_data_batch_3").write_bytes(pickle.dumps(content, 4))

    with pytest.raises(DataError, match=rf"train_data_batch_3 is refused: .*{message}.*published file again") as caught:
        inspect(SPEC, tmp_path)

    assert caught.value.field == "data.dataset"


def test_a_file_that_changes_between_check_and_reading_is_refused(tmp_path):
    write_all(tmp_path, WRITERS["protocol 2"])
    path = tmp_path / FOLDER / "val_data"
    _, tests = ImageNet16(1000)._open(SPEC, tmp_path)
    path.write_bytes(path.read_bytes()[:3000])

    with pytest.raises(DataError, match="val_data is refused"):
        tests[0].read()


WRITTEN = [WRITERS[name](batch(10, LABELS[:2])) for name in ("python 2", "protocol 2", "protocol 4", "protocol 5")]


@st.composite
def altered(draw):
    """A valid file with one or two pieces changed, removed or doubled, mostly outside of the pixels."""
    content = draw(st.sampled_from(WRITTEN))
    start, stop = content.find(PIXEL_START), content.find(b"labels")
    for _ in range(draw(st.integers(1, 2))):
        outside = st.integers(0, max(start, 0)) | st.integers(stop - 20, len(content) - 1)
        at = draw(outside)
        piece = content[at : at + draw(st.integers(0, 12))]
        replacement = draw(st.sampled_from([b"", piece * 2]) | st.binary(max_size=3) | st.sampled_from(OPCODES))
        content = content[:at] + replacement + content[at + len(piece) :]
    return content


PIXEL_START = batch(10, LABELS[:2])["data"].tobytes()[:8]
OPCODES = [bytes([code]) for code in b"()]}NRbtueasqrhjcUTCBXKJM.0120Q\x80\x81\x85\x86\x87\x8c\x8e\x93\x94\x95\x96\x97"]


@given(content=altered())
@settings(max_examples=150, deadline=None)
def test_an_altered_file_gives_what_python_reads_or_a_data_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "altered"
    path.write_bytes(content)

    try:
        got = ImageNet16(1000)._batch(path)
        pixels = got.read()
    except DataError:
        return

    assert pixels.shape == (len(got.labels), 768)
    assert pixels.dtype == np.uint8
    assert 0 <= got.labels.min() <= got.labels.max() < 1000
    try:
        with warnings.catch_warnings(action="ignore"):
            expected = pickle._loads(content, encoding="latin1")  # The reader has refused all names but numpy's.
    except Exception:  # Python checks more, for example the sizes of frames.
        return
    assert (expected["data"] == pixels).all()
    assert (np.array(expected["labels"]) - 1 == got.labels).all()
