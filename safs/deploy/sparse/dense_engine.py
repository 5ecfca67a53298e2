"""Dense engines for a whole network, where they are installed: often faster than torch for small layers."""

import shutil
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import torch
from torch import Tensor, nn

from safs.errors import SafsError

LARGEST_KEPT_BYTES = 256 * 2**20
"""Size up to which the exported file is kept beside the timings, so that the next process need not export again."""


def is_installed(engine: str) -> bool:
    """True if the packages of an engine, and those that export a network for it, are there."""
    return all(find_spec(package) is not None for package in ("onnx", "onnxscript", "onnxruntime", engine))


def dense_run(engine: str, network: nn.Module, images: Tensor, kept: Path | None) -> Callable[[Tensor], Tensor] | None:
    """The function of a batch that runs ``network`` in an engine; None if the network cannot be exported.

    Takes seconds, in which PyTorch exports the network, unless ``kept`` exists.

    Args:
        engine: name in ``DENSE_ENGINES``.
        images: a batch [batch, channels, height, width].
        kept: file to read the exported network from, or to write it to; None keeps nothing.
    """
    from safs.deploy.onnx_file import write

    try:
        with TemporaryDirectory(prefix="safs-onnx-") as folder, torch.inference_mode(False):
            path = Path(folder) / "network.onnx"
            if kept is not None and kept.exists():
                path = kept
            else:
                write(path, network, images.clone()[:1].repeat(2, 1, 1, 1), {})
                _keep(path, kept)
            return DENSE_ENGINES[engine](path)
    except (SafsError, OSError, RuntimeError):  # the engines' errors are RuntimeErrors
        return None


def _onnxruntime(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    from safs.deploy.onnx_file import INPUT, OUTPUT

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(batch: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: batch.contiguous().numpy()})[0])

    return run


def _openvino(path: Path) -> Callable[[Tensor], Tensor]:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    settings["INFERENCE_PRECISION_HINT"] = "f32"
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)

    def run(batch: Tensor) -> Tensor:
        return torch.from_numpy(compiled(batch.contiguous().numpy())[0])

    return run


DENSE_ENGINES: Mapping[str, Callable[[Path], Callable[[Tensor], Tensor]]] = MappingProxyType(
    {"onnxruntime": _onnxruntime, "openvino": _openvino}
)
"""Name of a package -> function of an ONNX file, which returns the function of a batch."""


def _keep(path: Path, kept: Path | None) -> None:
    if kept is None or path.stat().st_size > LARGEST_KEPT_BYTES:
        return
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial")
        shutil.copyfile(path, partial)
        partial.replace(kept)
    except OSError:
        return  # a full disk or a folder that cannot be written: the next process exports again
