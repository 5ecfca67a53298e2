"""``network.safetensors``: the tensors of a declared network, and its document in the metadata."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from safs.errors import NetworkError
from safs.models.declared import document as documents
from safs.models.declared.document import Document

METADATA = "safs.network"
"""Key of the document in the file's metadata."""


def write(path: Path, document: Document, tensors: Mapping[str, Tensor]) -> Path:
    """Write the file and return its path."""
    metadata = {"format": "pt", METADATA: documents.canonical(document)}
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, path, metadata=metadata)
    return path


def read_document(path: Path) -> Document:
    """The document of a file.

    Raises:
        NetworkError: the file is not readable, or holds no network.
    """
    with _opened(path) as file:
        text = (file.metadata() or {}).get(METADATA)
    if text is None:
        raise NetworkError(
            f"{path.name} holds weights alone and no network. Capture the network by safs.capture(module, "
            "input=(3, 32)).save('network.safetensors'), or name an architecture."
        )
    return documents.read(text)


def read_bare(path: Path, document: Document) -> dict[str, Tensor]:
    """The values of ``document.tensors``: parameters, buffers and constants that belong to no module.

    Raises:
        NetworkError: the file lacks one.
    """
    with _opened(path) as file:
        present = set(file.keys())
        missing = [tensor.path for tensor in document.tensors if tensor.path not in present]
        if missing:
            raise NetworkError(f"{path.name} lacks the tensor {missing[0]}, which its document lists")
        return {tensor.path: file.get_tensor(tensor.path) for tensor in document.tensors}


def read_state(path: Path, document: Document) -> dict[str, Tensor] | None:
    """The state dict that the file holds; None if its modules have no weights there.

    Raises:
        NetworkError: the file is not readable.
    """
    if not document.pretrained:
        return None
    constants = {tensor.path for tensor in document.tensors if tensor.kind == "constant"}
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys() if name not in constants}  # noqa: SIM118  # no mapping


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        file = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise NetworkError(f"{path.name} is not a readable safetensors file ({error})") from error
    with file:
        yield file
