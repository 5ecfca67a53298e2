"""A result as plain PyTorch code: network.py with the operators and the graph, and its weights."""

import ast
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from safs.deploy.formats import FORMATS
from safs.deploy.pt2_file import run_apart
from safs.deploy.source import Source
from safs.deploy.torch_graph import traced
from safs.deploy.torch_source import GeneratedNetwork, generate

_RUN = """
import runpy, sys, torch
from pathlib import Path
from safetensors.torch import load_file, save_file
program, inputs, results = sys.argv[1:]
network = runpy.run_path(program)["load"](Path(program).with_name("checkpoint.safetensors"))
images = load_file(inputs)["images"]
with torch.inference_mode():
    logits = torch.cat([network(batch) for batch in images.split(64)])
save_file({"logits": logits}, results)
"""


def write(folder: Path, source: Source) -> Tensor:
    """Write network.py and checkpoint.safetensors; return the logits of a process that has these files alone.

    Raises:
        ExportError: the network calls something that has no plain PyTorch form, or the code does not run.
    """
    opened = source.opened
    selection = opened.network.blueprint.form.inputs
    generated = generate(traced(opened.model), opened.network.blueprint, selection)
    program, weights = (folder / name for name in FORMATS["torch"].files)
    ast.parse(generated.source)  # asserts that it is code
    program.write_text(generated.source)
    save_file(_tensors(generated), weights, {"format": "pt"})
    return run_apart(_RUN, program, source.images.tensor)


def _tensors(generated: GeneratedNetwork) -> dict[str, Tensor]:
    """The tensors of the generated module, each with memory of its own."""
    with torch.no_grad():
        return {name: tensor.detach().clone().contiguous() for name, tensor in generated.state.items()}
