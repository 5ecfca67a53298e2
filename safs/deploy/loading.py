"""Load a result for inference, by torch or by the runtime for sparse networks."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from safs import checkpoint
from safs.deploy.torch_graph import traced
from safs.errors import MissingExtraError
from safs.inputs import WithSelectedInputs
from safs.registry import Registry

if TYPE_CHECKING:
    from safs.deploy.sparse.runtime import SparseNetwork  # needs the extra sparse

RUNTIMES: Registry[str] = Registry(
    "runtime",
    {
        "torch": "An ordinary PyTorch module, for every device.",
        "sparse": "Each layer in the way that is fastest on this CPU, dense or sparse; needs the extra sparse.",
    },
)
"""Runtimes by name, with a summary."""


def load(directory: str | Path, *, runtime: str = "torch") -> nn.Module:
    """Load the network of a result folder for inference: operators, alphas and betas in place, in eval mode.

    It takes float32 images [batch, channels, size, size], divided by ``scale`` and normalised with ``mean`` and ``std``
    as under ``input`` in config.json, and returns logits [batch, classes]. A network that reads a selection of pixels
    or channels also takes whole images; it selects by itself.

    Args:
        runtime: ``torch`` returns an ordinary module: it can be copied, pickled, exported (``torch.export``, with a
            dynamic batch) and traced by torch.fx; before training it, call ``hold_zeros``. ``sparse`` returns a module
            for inference on CPUs that times its layers at the first batch of each size, and runs each in the way that
            is fastest on this machine (see ``safs.deploy.sparse.runtime``).

    Raises:
        CheckpointError: the folder is incomplete, altered, or of a format that this version does not read.
        UnknownNameError: there is no such runtime.
        MissingExtraError: the runtime ``sparse`` needs numba, which is not installed.
        ExportError: torch.fx cannot trace the network, which the runtime ``sparse`` needs.
    """
    if RUNTIMES[runtime] is RUNTIMES["torch"]:
        return checkpoint.load(directory)
    opened = checkpoint.open_result(directory)
    network = sparse_network(opened.model)
    inputs = opened.config.model.form.inputs
    return network if inputs is None else WithSelectedInputs(network, inputs).eval()


def engine_of(network: nn.Module) -> str:
    """The engine that ran the last new batch shape in a network that ``load`` returned for the runtime ``sparse``."""
    from safs.deploy.sparse.runtime import SparseNetwork  # needs the extra [sparse]

    inner = network.network if isinstance(network, WithSelectedInputs) else network
    assert isinstance(inner, SparseNetwork)
    return list(inner.timings.values())[-1].engine


def sparse_network(model: nn.Module, *, alone: bool = False) -> "SparseNetwork":
    """``model`` for the runtime ``sparse``.

    Args:
        alone: True to leave onnxruntime and the timings on disk aside.

    Raises:
        ExportError: torch.fx cannot trace it.
        MissingExtraError: numba is not installed.
    """
    try:
        from safs.deploy.sparse.runtime import SparseNetwork
    except ModuleNotFoundError as error:
        raise MissingExtraError("the runtime sparse", "numba", "sparse") from error
    return SparseNetwork(traced(model), model=None if alone else model)
