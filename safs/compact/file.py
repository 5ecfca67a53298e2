"""A compact checkpoint file: a state dict whose pruned tensors are coded. It is a valid safetensors file.

Other tensors are in it as they are. Its metadata has one entry, ``safs_compact``, a JSON object with ``version``,
``coded`` (the names of the coded tensors), ``checkpoint_sha256`` (the checkpoint that the file was made from) and
``content_sha256`` (the decoded state dict). With one entry, equal content gives equal files.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from safs.compact.coding import bound_bytes, decode, encode
from safs.errors import CheckpointError

METADATA = "safs_compact"
VERSION = 1


@dataclass(frozen=True, slots=True)
class CompactCheckpoint:
    """The decoded content of a compact checkpoint."""

    state: dict[str, Tensor]
    checkpoint_sha256: str
    """Hash of the checkpoint.safetensors that the file was made from, hexadecimal."""


def write(
    path: Path, state: Mapping[str, Tensor], pruned: Collection[str], checkpoint_sha256: str, *, bits: int
) -> None:
    """Write ``state`` to ``path``; the float32 tensors named in ``pruned`` are coded where that makes them smaller.

    Args:
        bits: 32 is lossless; 16 rounds the live values of coded tensors to bfloat16.

    Raises:
        MissingExtraError: constriction is not installed.
    """
    coded = {name: _coded(state[name], bits) for name in pruned if name in state}
    coded = {name: content for name, content in coded.items() if content.numel() < state[name].nbytes}
    decoded = {name: _decoded(coded[name]) if name in coded and bits == 16 else state[name] for name in state}
    description = {
        "version": VERSION,
        "coded": sorted(coded),
        "checkpoint_sha256": checkpoint_sha256,
        "content_sha256": content_hash(decoded),
    }
    metadata = {METADATA: json.dumps(description, separators=(",", ":"))}
    save_file({name: coded.get(name, tensor).contiguous() for name, tensor in state.items()}, path, metadata)


def read(path: Path) -> CompactCheckpoint:
    """Read a compact checkpoint, and check the hash of its decoded content.

    Raises:
        CheckpointError: the file is damaged or of another format.
        MissingExtraError: constriction is not installed.
        FileNotFoundError: there is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            description = json.loads((file.metadata() or {}).get(METADATA, "{}"))
            if description.get("version") != VERSION:
                raise CheckpointError(
                    f"{path} is no compact checkpoint of version {VERSION}; a newer version of safs may read it."
                )
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
        state = stored | {name: _decoded(stored[name]) for name in description["coded"]}
        checkpoint_sha256, expected = description["checkpoint_sha256"], description["content_sha256"]
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Download or export it again.") from error
    actual = content_hash(state)
    if actual != expected:
        raise CheckpointError(
            f"{path} was altered: the sha256 of its content is {actual}, the file says {expected}. "
            "Download or export it again."
        )
    return CompactCheckpoint(state, checkpoint_sha256)


def bound(state: Mapping[str, Tensor], pruned: Collection[str], *, bits: int) -> float:
    """The size in bytes that no code can go below: entropy of the pruned tensors, and the other tensors as they are.

    ``safs.compact.coding.bound_bytes`` says what the entropy assumes.
    """
    return sum(
        bound_bytes(tensor.numpy(), bits=bits) if name in pruned else tensor.nbytes for name, tensor in state.items()
    )


def content_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of a state dict, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].contiguous()
        digest.update(f"{name}\n{tensor.dtype}\n{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _coded(tensor: Tensor, bits: int) -> Tensor:
    if tensor.dtype != torch.float32:
        return tensor
    return torch.from_numpy(np.frombuffer(encode(tensor.numpy(), bits=bits), np.uint8).copy())


def _decoded(tensor: Tensor) -> Tensor:
    return torch.from_numpy(decode(tensor.numpy().tobytes()))
