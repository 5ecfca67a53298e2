"""A result as a program of torch.export, with a dynamic batch."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from safs.activations.rewired import RewiredModel
from safs.errors import ExportError

_RUN = """
import sys, torch
from safetensors.torch import load_file, save_file
program, inputs, results = sys.argv[1:]
network = torch.export.load(program).module()
images = load_file(inputs)["images"]
with torch.inference_mode():
    logits = torch.cat([network(batch) for batch in images.split(64)])
save_file({"logits": logits}, results)
"""
_LIMIT_S = 600


def exported_program(network: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    """The eval graph of ``network``, for any batch size of at least 1.

    Raises:
        ExportError: torch.export cannot capture the network.
    """
    batch = torch.export.Dim.DYNAMIC
    several_arguments = isinstance(network, RewiredModel) and type(network) is RewiredModel
    shapes = (({0: batch},),) if several_arguments else ({0: batch},)
    try:
        return torch.export.export(network, (images[:2],), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # torch.export runs the network's own code, so anything can be raised.
        first = str(error).strip().splitlines()[:1]
        raise ExportError(
            f"torch.export cannot capture the network: {' '.join(first) or type(error).__name__}"
        ) from error


def write(path: Path, network: nn.Module, images: Tensor) -> Tensor:
    """Write the program to ``path``; return its logits for ``images``, computed by a process without this package."""
    content = BytesIO()  # torch aborts the process if it cannot write to a file
    torch.export.save(exported_program(network, images), content)
    path.write_bytes(content.getbuffer())
    return run_apart(_RUN, path, images)


def run_apart(code: str, program: Path, images: Tensor) -> Tensor:
    """The logits that ``code`` computes in a process of its own, which does not see this package.

    Args:
        code: takes the paths of a program, of a safetensors file with ``images`` and of one to write ``logits`` to.

    Raises:
        ExportError: the process failed; the message has its last line.
    """
    with TemporaryDirectory() as folder:
        inputs, results = Path(folder, "images.safetensors"), Path(folder, "logits.safetensors")
        save_file({"images": images.contiguous()}, inputs)
        command = [sys.executable, "-I", "-c", code, str(program), str(inputs), str(results)]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
        if ended.returncode != 0:
            last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
            raise ExportError(f"{program.name} does not run: {last}")
        return load_file(results)["logits"]
