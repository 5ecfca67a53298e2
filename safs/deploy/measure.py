"""The cost of a result in use: bytes in each format, and milliseconds on this CPU."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from safs.checkpoint import OpenedResult, load, open_result
from safs.compact.file import bound
from safs.deploy.cpu import cpu_name
from safs.deploy.equality import Equality, Images, check_equality
from safs.deploy.export import export
from safs.deploy.formats import FORMATS
from safs.deploy.latency import logits, medians
from safs.deploy.loading import engine_of
from safs.deploy.loading import load as load_with_runtime
from safs.deploy.memory import peak_bytes
from safs.errors import MissingExtraError, SafsError

BATCHES = (1, 32)
_PACKAGES = {
    "compact": ("constriction",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "sparse": ("numba",),
    "c": ("numba",),
}
_EXTRAS = {"compact": "sparse", "onnx": "onnx", "sparse": "sparse", "c": "sparse"}


@dataclass(frozen=True, slots=True)
class FormatSize:
    """A format in which the result was exported and compared."""

    format: str
    size_bytes: int | None
    """Size of the main file; None if the export failed."""
    equality: Equality | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class BatchTime:
    """Median milliseconds of one batch; the two runtimes take turns."""

    batch: int
    dense_ms: float
    """PyTorch, in the faster of its two memory layouts."""
    sparse_ms: float
    """The runtime ``sparse``."""
    equality: Equality
    engine: str
    """The engine of the runtime ``sparse`` for these batches, a name in ``safs.deploy.sparse.runtime.ENGINES``."""
    dense_bytes: int | None = None
    """Peak memory of the network and its activations by PyTorch; None where it could not be measured."""
    sparse_bytes: int | None = None
    """Peak memory by the runtime ``sparse``, which keeps dense weights for other batch sizes."""

    @property
    def gain(self) -> float:
        """The dense time divided by that of the runtime ``sparse``."""
        return self.dense_ms / self.sparse_ms


@dataclass(frozen=True, slots=True)
class Deployment:
    """The sizes and times of a result."""

    checkpoint_bytes: int
    """Size of the plain checkpoint, in which zeros take as much as weights."""
    bound_bytes: int
    """Entropy of the masks and live weights, which no code goes below, and the other tensors as they are."""
    formats: tuple[FormatSize, ...]
    cpu: str | None
    """Name of the CPU; None if no times were measured."""
    threads: int
    times: tuple[BatchTime, ...]
    error: str | None = None
    """Reason why no times were measured."""


def check_deployable(formats: Sequence[str], runtime: str) -> None:
    """Check that the packages of the formats and the runtime are installed.

    Raises:
        MissingExtraError: one is not; the message says what to install.
    """
    for name in (*formats, runtime):
        for package in _PACKAGES.get(name, ()):
            if find_spec(package) is None:
                raise MissingExtraError(f"deploy with {name}", package, _EXTRAS[name])


def measure_deployment(directory: Path, formats: Sequence[str], runtime: str, images: Images) -> Deployment:
    """Export the result in ``directory`` in each format, and time it; failures are part of the result.

    Args:
        formats: names of ``FORMATS``.
        runtime: ``sparse`` times it beside PyTorch; ``torch`` times nothing.
        images: images to compare and to time on.
    """
    opened = open_result(directory)
    state = {name: tensor.detach() for name, tensor in opened.network.state.items()}
    sizes = tuple(_size(directory, name, images) for name in formats)
    times: tuple[BatchTime, ...] = ()
    error: str | None = None
    if runtime == "sparse":
        try:
            times = tuple(_time(directory, opened, batch, images) for batch in BATCHES)
            memory = (peak_bytes(directory, name, BATCHES) for name in ("torch", "sparse"))
            times = tuple(
                replace(time, dense_bytes=dense, sparse_bytes=sparse)
                for time, dense, sparse in zip(times, *memory, strict=True)
            )
        except SafsError as failure:
            error = failure.message
    return Deployment(
        checkpoint_bytes=(directory / FORMATS["torch"].files[1]).stat().st_size,
        bound_bytes=round(bound(state, opened.config.live_weights, bits=32)),
        formats=sizes,
        cpu=cpu_name() if times else None,
        threads=torch.get_num_threads(),
        times=times,
        error=error,
    )


def _size(directory: Path, format: str, images: Images) -> FormatSize:
    with TemporaryDirectory(prefix="safs-export-") as folder:
        try:
            written = export(directory, format, folder, images=images)
        except SafsError as error:
            return FormatSize(format, None, None, error.message)
        return FormatSize(format, written.size_bytes, written.equality)


def _time(directory: Path, opened: OpenedResult, batch: int, images: Images) -> BatchTime:
    repeats = -(-batch // len(images.tensor))
    inputs = images.tensor.repeat(repeats, 1, 1, 1)[:batch].contiguous()
    dense, sparse = load(directory), load_with_runtime(directory, runtime="sparse")
    channels_last = inputs.contiguous(memory_format=torch.channels_last)
    runs = [partial(logits, dense, inputs), partial(logits, dense, channels_last), partial(logits, sparse, inputs)]
    equality = check_equality(runs[0](), runs[2](), Images(inputs, images.source), "the runtime sparse")
    nchw, nhwc, sparse_s = medians(runs)
    return BatchTime(batch, 1e3 * min(nchw, nhwc), 1e3 * sparse_s, equality, engine_of(sparse))
