"""Write a result in one of the formats of ``safs.deploy.formats``, and check that it computes the same."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import SafetensorError
from torch import Tensor

from safs.deploy import c_file, compact_file, onnx_file, pt2_file, torch_file
from safs.deploy.equality import Equality, Images, Normalised, check_equality, outputs
from safs.deploy.formats import FORMATS
from safs.deploy.source import Source, open_source
from safs.deploy.torch_graph import traced
from safs.errors import ExportError, OutputError
from safs.result_folder import CHECKPOINT, check_writable, folder_of_point


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Options of an export."""

    with_normalisation: bool = False
    """True lets the exported network take raw pixels; only in formats with a graph (onnx, pt2)."""
    bfloat16: bool = False
    """True rounds live weights to bfloat16; only in the format compact."""


@dataclass(frozen=True, slots=True)
class Export:
    """A result that was written in a format."""

    format: str
    files: tuple[Path, ...]
    """The written files, the main one first."""
    size_bytes: int
    """Size of the main file."""
    checkpoint_bytes: int
    """Size of the result's own checkpoint."""
    equality: Equality
    """The comparison of its outputs with those of the result."""


def export(
    result: str | Path,
    format: str,
    directory: str | Path,
    *,
    options: ExportOptions = ExportOptions(),  # frozen
    sparsity: float | None = None,
    data_root: Path | None = None,
    images: Images | None = None,
) -> Export:
    """Export the result folder ``result`` to ``directory``, which gets all files of the format or none.

    Args:
        format: a name of ``FORMATS``.
        directory: created if it is missing.
        sparsity: a point of the result's front in place of the recommended one.
        data_root: folder of the data sets that are files. The export is compared with the result on the job's
            validation split, and on random images if its data set is not there.
        images: normalised images to compare on instead.

    Raises:
        CheckpointError: the result is incomplete or altered, or has no such point.
        UnknownNameError: there is no such format.
        MissingExtraError: the format needs a package that is not installed.
        ExportError: the format does not support the network or an option, or the outputs differ.
        OutputError: ``directory`` cannot be written, or its disk is full.
    """
    entry, write = FORMATS[format], _WRITERS[FORMATS[format].name]
    _check_options(format, options)
    directory = Path(directory).expanduser()
    source = open_source(folder_of_point(Path(result).expanduser(), sparsity), data_root, images)
    checkpoint_bytes = sum(tensor.nbytes for tensor in source.opened.network.state.values())
    check_writable(directory, checkpoint_bytes)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".safs-", dir=directory) as folder:
            equality = write(Path(folder), source, options)
            written = {path.name for path in Path(folder).iterdir()}
            for name in written:
                (Path(folder) / name).replace(directory / name)
    except (OSError, SafetensorError, ExportError) as error:
        if (reason := _full_disk(error)) is not None:
            raise OutputError(
                f"{directory}, or the folder of temporary files, is full: {reason}. Free some space."
            ) from error
        if isinstance(error, OSError):
            raise OutputError(f"{directory} cannot be written: {error.strerror or error}.") from error
        raise
    files = tuple(directory / name for name in (*entry.files, *sorted(written - {*entry.files})))
    own = source.directory / CHECKPOINT.filename
    return Export(
        format, files, files[0].stat().st_size, own.stat().st_size if own.exists() else checkpoint_bytes, equality
    )


def _full_disk(error: Exception) -> str | None:
    """The operating system's words for a full disk if that is the reason of ``error``, also of another program's."""
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        is_own = isinstance(error, OSError) and error.errno == code
        if is_own or f"(os error {code})" in str(error) or f"[Errno {code}]" in str(error):
            return os.strerror(code)
    return None


def _check_options(format: str, options: ExportOptions) -> None:
    if options.with_normalisation and format not in ("onnx", "pt2"):
        raise ExportError(f"format {format!r} takes normalised images only; onnx and pt2 can take raw pixels")
    if options.bfloat16 and format != "compact":
        raise ExportError(f"format {format!r} keeps float32 weights; only compact can round them to bfloat16")


def _compact(folder: Path, source: Source, options: ExportOptions) -> Equality:
    actual = compact_file.write(folder, source, bits=16 if options.bfloat16 else 32)
    expected = outputs(source.network, source.images.tensor)
    if options.bfloat16:
        expected = actual  # The content is rounded, and its hash was checked when it was read back.
    return check_equality(expected, actual, source.images, "the compact checkpoint")


def _onnx(folder: Path, source: Source, options: ExportOptions) -> Equality:
    def write(path: Path, network: Normalised, images: Tensor) -> Tensor:
        return onnx_file.write(path, network, images, _metadata(source, options))

    return _graph(folder / FORMATS["onnx"].files[0], source, options, write)


def _pt2(folder: Path, source: Source, options: ExportOptions) -> Equality:
    return _graph(folder / FORMATS["pt2"].files[0], source, options, pt2_file.write)


def _torch(folder: Path, source: Source, _: ExportOptions) -> Equality:
    expected = outputs(source.network, source.images.tensor)
    return check_equality(expected, torch_file.write(folder, source), source.images, "network.py")


def _c(folder: Path, source: Source, _: ExportOptions) -> Equality:
    path, inputs = folder / FORMATS["c"].files[0], source.opened.network.blueprint.form.inputs
    expected = outputs(source.network, source.images.tensor)
    actual = c_file.write(path, traced(source.opened.model), source.images.tensor, inputs)
    return check_equality(expected, actual, source.images, path.name)


def _graph(path: Path, source: Source, options: ExportOptions, write: Callable[..., Tensor]) -> Equality:
    network, images = source.network, source.images.tensor
    if options.with_normalisation:
        network = _normalised(source)
        images = network.raw(images)
    return check_equality(outputs(network, images), write(path, network, images), source.images, path.name)


def _normalised(source: Source) -> Normalised:
    statistics = source.config.get("input")
    if not isinstance(statistics, dict):
        raise ExportError("config.json has no input statistics, so the export cannot normalise raw pixels")
    return Normalised(source.network, statistics["scale"], statistics["mean"], statistics["std"])


def _metadata(source: Source, options: ExportOptions) -> dict[str, str]:
    blueprint, sparsity = source.opened.network.blueprint, source.opened.network.sparsity()
    return {
        "architecture": blueprint.architecture,
        "classes": str(blueprint.classes),
        "sparsity": f"{sparsity.sparsity:.6f}",
        "live_weights": str(sparsity.live),
        "input": "raw pixels" if options.with_normalisation else "normalised pixels",
        "checkpoint_sha256": source.opened.config.sha256[CHECKPOINT.filename],
    }


_WRITERS: dict[str, Callable[[Path, Source, ExportOptions], Equality]] = {
    "compact": _compact,
    "onnx": _onnx,
    "pt2": _pt2,
    "torch": _torch,
    "c": _c,
}
