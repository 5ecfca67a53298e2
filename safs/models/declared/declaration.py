"""A declared network as plain text, which travels between processes as a part of a blueprint."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from safs.errors import NetworkError
from safs.graphs import GraphNetwork
from safs.models.declared import document as documents
from safs.models.declared.document import DeclaredTensor, Document
from safs.models.declared.file import read_bare, read_document
from safs.models.declared.operations import DTYPES
from safs.models.declared.rebuild import read_cached, rebuild


@dataclass(frozen=True, slots=True)
class Declaration:
    """A network without the weights of its modules."""

    text: str
    """The canonical document."""
    tensors: str
    """Values of the document's tensors, as a safetensors file in base64. Parameters and buffers may be missing."""

    @property
    def document(self) -> Document:
        """The document, parsed."""
        return read_cached(self.text)

    @property
    def digest(self) -> str:
        """The sha256 of the document: the identity of the architecture."""
        return documents.digest(self.document)

    def build(self) -> GraphNetwork:
        """The network in train mode. Its modules draw fresh weights from torch's global generator.

        Parameters that belong to no module have the uploaded values. Works under ``torch.device("meta")``.

        Raises:
            NetworkError: the document or a tensor is invalid.
        """
        document = self.document
        values = _decoded(self.tensors)
        missing = {tensor.path: _zeros(tensor) for tensor in document.tensors if tensor.path not in values}
        return rebuild(document, {**missing, **values})

    def values(self) -> dict[str, Tensor]:
        """Values of the tensors that belong to no module, by path."""
        return _decoded(self.tensors)

    def without_state(self) -> "Declaration":
        """The same network with its constants alone, for a result whose checkpoint has the state."""
        constants = {tensor.path for tensor in self.document.tensors if tensor.kind == "constant"}
        kept = {name: value for name, value in _decoded(self.tensors).items() if name in constants}
        return declaration(self.document, kept)


def declaration(document: Document, bare: Mapping[str, Tensor]) -> Declaration:
    """The declaration of ``document``, with the values of its tensors; others in ``bare`` are left out."""
    names = {tensor.path for tensor in document.tensors}
    values = {name: value.detach().cpu().contiguous().clone() for name, value in bare.items() if name in names}
    encoded = base64.b64encode(save(values)).decode() if values else ""
    return Declaration(documents.canonical(document), encoded)


def read_file(path: Path) -> Declaration:
    """The declaration in a ``network.safetensors``.

    Raises:
        NetworkError: the file is not readable, holds no network, or lacks a tensor.
    """
    document = read_document(path)
    return declaration(document, read_bare(path, document))


def to_json(declared: Declaration) -> str:
    """The declaration as the text of ``network.json``."""
    return json.dumps({"format": 1, "document": json.loads(declared.text), "tensors": declared.tensors}) + "\n"


def from_json(text: str) -> Declaration:
    """The declaration in a ``network.json``.

    Raises:
        NetworkError: the text is not of that form, or its document is invalid.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"the network is not JSON: {error}") from error
    match content:
        case {"format": 1, "document": dict(document), "tensors": str(tensors)}:
            return Declaration(documents.canonical(documents.read(json.dumps(document))), tensors)
        case _:
            raise NetworkError("the network has no document of format 1; a newer version of safs may read it")


def _decoded(tensors: str) -> dict[str, Tensor]:
    if not tensors:
        return {}
    try:
        return load(base64.b64decode(tensors, validate=True))
    except (ValueError, SafetensorError) as error:
        raise NetworkError(f"the network's tensors cannot be read: {error}") from error


def _zeros(tensor: DeclaredTensor) -> Tensor:
    return torch.zeros(tensor.shape, dtype=DTYPES[tensor.dtype])
