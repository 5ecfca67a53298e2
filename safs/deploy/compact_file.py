"""A result with its checkpoint in the compact form, beside its config."""

import shutil
from pathlib import Path

from torch import Tensor

from safs.checkpoint import load
from safs.compact import file as compact
from safs.deploy.equality import outputs
from safs.deploy.source import Source
from safs.result_folder import CHECKPOINT, COMPACT, CONFIG, NETWORK


def write(directory: Path, source: Source, *, bits: int) -> Tensor:
    """Write the files of the compact form; return the logits of the network that is read back from them.

    Args:
        bits: 32 keeps the weights bit by bit; 16 rounds live weights to bfloat16.
    """
    config = source.opened.config
    state, expected = source.opened.network.state, config.sha256[CHECKPOINT.filename]
    compact.write(directory / COMPACT.filename, state, config.live_weights, expected, bits=bits)
    for file in (CONFIG, NETWORK):
        if (source.directory / file.filename).exists():
            shutil.copyfile(source.directory / file.filename, directory / file.filename)
    return outputs(load(directory), source.images.tensor)
