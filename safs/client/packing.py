"""Packs a user's data into one file for an upload: arrays and data sets into an ``.npz``, a folder into a zip archive.

Equal data give equal bytes, so that the service stores them once. Imports neither numpy nor torch before there are
arrays.
"""

import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from safs.client.errors import ServiceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = {2: ("x", "y"), 4: ("x", "y", "x_test", "y_test")}
"""Number of arrays -> their names in the ``.npz``."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every member of an archive: the earliest that zip has."""
_ROWS_AT_ONCE_BYTES = 2**24


@contextmanager
def packed(data: Any) -> Iterator[Path]:
    """Yield a file with the data; what was made for it is deleted when the block ends.

    Args:
        data: a path of an ``.npz``, of an archive, or of a folder of pictures; a tuple ``(x, y)`` or
            ``(x_train, y_train, x_test, y_test)`` of numpy arrays or torch tensors; a data set of (image, label), such
            as a ``torch.utils.data.Dataset``; or a tuple of two such data sets, for training and test.

    Raises:
        ServiceError: the data are none of these, or the images of a data set differ in shape (``invalid_data``).
    """
    if isinstance(data, str | PathLike):
        path = Path(data).expanduser()
        if not path.exists():
            raise _invalid(
                f"data is {str(data)!r}, and no such file or folder exists; give a path, arrays (x_train, y_train, "
                f"x_test, y_test), or a mapping such as {{'dataset': {str(data)!r}}}"
            )
        if path.is_file():
            yield path
            return
        with TemporaryDirectory(prefix="safs-data-") as folder:
            yield _zipped(path, Path(folder) / f"{path.resolve().name}.zip")
        return
    with TemporaryDirectory(prefix="safs-data-") as folder:
        file = Path(folder) / "data.npz"
        write_npz(file, _arrays(data))
        yield file


def write_npz(file: Path, arrays: Mapping[str, "NDArray[Any]"]) -> None:
    """Write an ``.npz`` whose bytes depend on the arrays alone."""
    from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0

    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            header = BytesIO()
            write_array_header_1_0(header, header_data_from_array_1_0(array) | {"fortran_order": False})
            member = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as opened:
                opened.write(header.getvalue())
                rows = max(1, _ROWS_AT_ONCE_BYTES // max(1, array[:1].nbytes))
                for begin in range(0, len(array), rows):
                    opened.write(array[begin : begin + rows].tobytes())


def _arrays(data: Any) -> dict[str, "NDArray[Any]"]:
    if _is_dataset(data):
        return dict(zip(NAMES[2], _collected(data), strict=True))
    if not isinstance(data, Sequence) or len(data) not in NAMES:
        raise _invalid(
            f"data is a {_described(data)}; give (x, y) or (x_train, y_train, x_test, y_test), a data set of (image, "
            "label), a path, or a mapping"
        )
    if len(data) == 2 and all(map(_is_dataset, data)):
        return dict(zip(NAMES[4], [*_collected(data[0]), *_collected(data[1])], strict=True))
    arrays = dict(zip(NAMES[len(data)], map(_array, data), strict=True))
    for name, array in arrays.items():
        if array.ndim == 0 or array.dtype.hasobject:
            raise _invalid(
                f"{name} of data has the dtype {array.dtype} and shape {array.shape}; give an array of numbers"
            )
        arrays[name] = _as_bytes(array) if name.startswith("x") else array
    return arrays


def _is_dataset(data: Any) -> bool:
    return (
        hasattr(data, "__getitem__")
        and hasattr(data, "__len__")
        and not hasattr(data, "shape")
        and not isinstance(data, Mapping | list | tuple)
    )


def _array(value: Any) -> "NDArray[Any]":
    """A numpy array, also of a torch tensor on any device and of a picture of Pillow."""
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    elif hasattr(value, "getbands"):
        value = value if value.mode in ("L", "RGB") else value.convert("L" if value.mode in ("1", "LA") else "RGB")
    try:
        return np.ascontiguousarray(np.asarray(value)).reshape(np.shape(value))
    except (ValueError, TypeError) as error:
        raise _invalid(f"data holds a {_described(value)} that is not an array of numbers: {error}") from error


def _as_bytes(images: "NDArray[Any]") -> "NDArray[Any]":
    """Integers from 0 to 255 as bytes; other images unchanged."""
    import numpy as np

    if images.dtype.kind in "iu" and images.size and images.min() >= 0 and images.max() <= 255:
        return images.astype(np.uint8)
    return images


def _collected(dataset: Any) -> tuple["NDArray[Any]", "NDArray[Any]"]:
    """The images and labels of a data set."""
    import numpy as np

    images, labels = [], []
    for number in range(len(dataset)):
        item = dataset[number]
        if not isinstance(item, Sequence) or len(item) != 2:
            raise _invalid(f"item {number} of the data set is a {_described(item)}; it must be (image, label)")
        images.append(_array(item[0]))
        labels.append(_array(item[1]))
        if images[-1].shape != images[0].shape or labels[-1].size != 1:
            raise _invalid(
                f"image {number} of the data set has shape {images[-1].shape} and {labels[-1].size} labels; image 0 "
                f"has shape {images[0].shape}. Give every image the same size, and one label"
            )
    if not images:
        raise _invalid("the data set is empty")
    return _as_bytes(np.stack(images)), np.array([label.item() for label in labels])


def _zipped(folder: Path, file: Path) -> Path:
    """A zip archive of all files of the folder but hidden ones, without compression, since pictures are compressed."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if path.is_file() and not any(part.startswith(".") for part in relative.parts):
                member = zipfile.ZipInfo(relative.as_posix(), _EPOCH)
                with path.open("rb") as source, archive.open(member, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target, 2**20)
    return file


def _described(value: Any) -> str:
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, Sequence) else type(value).__name__


def _invalid(message: str) -> ServiceError:
    return ServiceError("invalid_data", message)
