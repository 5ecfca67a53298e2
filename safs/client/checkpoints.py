"""Converts checkpoints of torch.save into safetensors files, on the user's own machine."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safs.client.errors import ServiceError

SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".bin"})
NESTED = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts keep the state dict, in the order in which they are tried."""


@contextmanager
def as_safetensors(path: Path) -> Iterator[Path]:
    """Yield a safetensors file with the weights: ``path`` itself, or a converted file while the block runs.

    Files with the suffixes of torch.save are read with ``weights_only=True``, which runs no code of theirs.

    Raises:
        ServiceError: the file holds more than tensors and plain values, or no state dict (``invalid_data``); PyTorch or
            safetensors is missing (``invalid_environment``).
    """
    if path.suffix.lower() not in SUFFIXES:
        yield path
        return
    try:
        import torch
        from safetensors.torch import save_file
    except ModuleNotFoundError as error:
        raise ServiceError(
            "invalid_environment", f"converting {path.name} needs {error.name}: pip install 'safs-service[capture]'"
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # A pickle that names other classes, and damage of all kinds.
        raise _invalid(
            f"{path.name} holds more than tensors and plain values, or is damaged ({str(error).splitlines()[0]}). Save "
            "network.state_dict(), not the network itself"
        ) from error
    tensors = {
        name: value.contiguous().clone() for name, value in _state_dict(path, content).items() if torch.is_tensor(value)
    }
    with TemporaryDirectory(prefix="safs-weights-") as folder:
        file = Path(folder) / f"{path.stem}.safetensors"
        save_file(tensors, file)
        yield file


def _state_dict(path: Path, content: Any) -> Mapping[str, Any]:
    """The state dict in the content of a checkpoint: itself, or under one of the keys in ``NESTED``."""
    found = content
    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            found = content[key]
            break
    tensors = [value for value in found.values() if hasattr(value, "is_sparse")] if isinstance(found, Mapping) else []
    if not tensors:
        keys = ", ".join(map(str, list(content)[:10])) if isinstance(content, Mapping) else type(content).__name__
        raise _invalid(f"{path.name} has no state dict; it holds {keys}. Known keys: {', '.join(NESTED)}")
    assert isinstance(found, Mapping)
    return {str(name): value for name, value in found.items()}


def _invalid(message: str) -> ServiceError:
    return ServiceError("invalid_data", message)
