"""A result as one ONNX file with a dynamic batch, checked in onnxruntime."""

import logging
import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safs.activations.module import Activation
from safs.activations.operators import Scaled
from safs.deploy.equality import outputs
from safs.deploy.pt2_file import exported_program
from safs.errors import ExportError, MissingExtraError

INPUT, OUTPUT = "images", "logits"


def write(path: Path, network: nn.Module, images: Tensor, metadata: Mapping[str, str]) -> Tensor:
    """Write ``network`` to ``path`` with PyTorch's dynamo exporter; return onnxruntime's logits for ``images``.

    Args:
        network: in eval mode; takes ``images``.
        metadata: written as the model's metadata properties.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ExportError: the exporter does not support the network, or onnxruntime refuses the file.
    """
    _check_installed()
    program = exported_program(_with_exact_logsigmoid(network), images)
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    try:
        exporter_log.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter about itself
            exported = torch.onnx.export(
                program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False, external_data=False
            )
        assert exported is not None
        exported.model.metadata_props.update(metadata)
        exported.save(path, external_data=False)
    except OSError:  # of the disk
        raise
    except Exception as error:  # the exporter's own errors have no common root
        raise ExportError(f"PyTorch's ONNX exporter does not support this network: {_first_line(error)}") from error
    finally:
        exporter_log.setLevel(level)
    return _run(path, images)


def _with_exact_logsigmoid(network: nn.Module) -> nn.Module:
    """A copy of ``network`` whose logsigmoid is -softplus(-x).

    The exporter writes ln(sigmoid(x)), which is off by 1e-3 at -12 and minus infinity below -88.
    """
    network = deepcopy(network)
    for site in network.modules():
        if isinstance(site, Activation) and site.operator.name == "logsigmoid":
            site.operator = replace(site.operator, function=Scaled(_logsigmoid), plain=_logsigmoid)
    return network


def _logsigmoid(x: Tensor) -> Tensor:
    return -F.softplus(-x)


def _run(path: Path, images: Tensor) -> Tensor:
    import onnxruntime

    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return outputs(lambda batch: torch.from_numpy(session.run([OUTPUT], {INPUT: batch.numpy()})[0]), images)
    except Exception as error:  # onnxruntime's errors have no common root
        raise ExportError(f"onnxruntime refuses {path.name}: {_first_line(error)}") from error


def _check_installed() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            import_module(package)
        except ModuleNotFoundError as error:
            raise MissingExtraError("an export to ONNX", package, "onnx") from error


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
