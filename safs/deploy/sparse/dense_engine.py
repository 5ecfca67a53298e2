"""onnxruntime as the dense engine of a network, where it is installed: often faster than torch for small layers."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from safs.errors import SafsError

LARGEST_KEPT_BYTES = 256 * 2**20
"""Size up to which the exported file is kept beside the timings, so that the next process need not export again."""


def is_installed() -> bool:
    """True if the packages of the extra ``onnx`` are there."""
    return all(find_spec(package) is not None for package in ("onnx", "onnxscript", "onnxruntime"))


def onnxruntime_run(network: nn.Module, images: Tensor, kept: Path | None) -> Callable[[Tensor], Tensor] | None:
    """The function of a batch that runs ``network`` in onnxruntime; None if the network cannot be exported.

    Takes seconds, in which PyTorch exports the network, unless ``kept`` exists.

    Args:
        images: a batch [batch, channels, height, width].
        kept: file to read the exported network from, or to write it to; None keeps nothing.
    """
    import onnxruntime

    from safs.deploy.onnx_file import INPUT, OUTPUT, write

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        with TemporaryDirectory(prefix="safs-onnx-") as folder, torch.inference_mode(False):
            path = Path(folder) / "network.onnx"
            if kept is not None and kept.exists():
                path = kept
            else:
                write(path, network, images.clone()[:1].repeat(2, 1, 1, 1), {})
                _keep(path, kept)
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (SafsError, OSError, RuntimeError):  # onnxruntime's errors are RuntimeErrors
        return None

    def run(batch: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: batch.contiguous().numpy()})[0])

    return run


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
