"""Own networks: a module is captured on this machine, and its graph and weights are uploaded; its code stays here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile, ZipFile

from safs.client.errors import ServiceError


def is_module(value: Any) -> bool:
    """True for a ``torch.nn.Module``; nothing is imported to find out."""
    return callable(getattr(value, "named_modules", None)) and callable(getattr(value, "state_dict", None))


@contextmanager
def captured(module: Any, input: tuple[int, int] | None, data: Any) -> Iterator[Path]:
    """The file of the captured ``module``, while the block runs.

    Args:
        input: channels and size of the images. None takes them from ``data``: a tuple of arrays whose first has the
            images, or an ``.npz``.

    Raises:
        ServiceError: PyTorch or safetensors is missing, the input is not known, or the module cannot be captured
            (``untraceable_model``, ``invalid_network``).
    """
    shape = input or _image_shape(data)
    try:
        from safs.errors import SafsError
        from safs.models.declared.capture import capture
    except ModuleNotFoundError as error:
        raise ServiceError(
            "invalid_environment", f"capturing a module needs {error.name}: pip install 'safs-service[capture]'"
        ) from error
    with TemporaryDirectory(prefix="safs-network-") as folder:
        try:
            file = capture(module, shape).save(Path(folder) / "network.safetensors")
        except SafsError as error:
            raise ServiceError(error.code, error.message) from error
        yield file


def _image_shape(data: Any) -> tuple[int, int]:
    """Channels and size of the images in a tuple of arrays or an ``.npz``: [N, H, W], [N, C, H, W] or [N, H, W, C]."""
    if isinstance(data, str | PurePath):
        shape = _shape_in_file(Path(data).expanduser())
    else:
        images = data[0] if isinstance(data, tuple | list) and data else None
        shape = tuple(getattr(images, "shape", ()))
    match shape:
        case (_, int(height), int(width)) if height == width:
            return 1, height
        case (_, int(channels), int(height), int(width)) if height == width and channels <= 4:
            return channels, height
        case (_, int(height), int(width), int(channels)) if height == width and channels <= 4:
            return channels, height
        case _:
            raise ServiceError(
                "invalid_spec",
                "the size of the images is not known. Give input=(channels, size) as the module takes them, such as "
                "input=(3, 32)",
            )


def _shape_in_file(path: Path) -> tuple[int, ...]:
    """Shape of the training images in an ``.npz``, from its header; empty for other files, and for damaged ones."""
    if path.suffix.lower() != ".npz":
        return ()
    from numpy.lib import format as npy

    try:
        with ZipFile(path) as archive:
            name = next(name for name in ("x.npy", "x_train.npy") if name in archive.namelist())
            with archive.open(name) as member:
                read = npy.read_array_header_1_0 if npy.read_magic(member) == (1, 0) else npy.read_array_header_2_0
                shape: tuple[int, ...] = read(member)[0]
                return shape
    except (OSError, ValueError, BadZipFile, StopIteration):
        return ()


def with_network(spec: Mapping[str, Any], upload_id: str) -> dict[str, Any]:
    """``spec`` with the id of an uploaded network as its model."""
    return {**spec, "model": {"network": upload_id}}
