"""Checks an uploaded network from the header of its file alone."""

import json
from collections.abc import Mapping
from typing import Any

import torch

from safs.errors import NetworkError, NetworkTooLargeError
from safs.models.declared import document as documents
from safs.models.declared.document import Document
from safs.models.declared.file import METADATA
from safs.models.declared.limits import check_limits
from safs.models.declared.modules import MAX_ELEMENTS
from safs.models.declared.operations import DTYPES
from safs.models.declared.rebuild import rebuild

_SAFETENSORS = {
    "F32": "float32",
    "F64": "float64",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def check_header(header: bytes, *, max_gflops: float) -> Document:
    """Check the network that the header of a safetensors file declares, and return its document.

    Args:
        header: the JSON of a header that the strict parser has accepted.

    Raises:
        NetworkError: the document is invalid, or the file's tensors are not those that it needs.
    """
    entries: dict[str, Any] = json.loads(header)
    text = entries.pop("__metadata__", {}).get(METADATA, "")
    document = documents.read(text)
    _check_sizes(document)
    with torch.device("meta"):
        bare = {tensor.path: torch.empty(tensor.shape, dtype=DTYPES[tensor.dtype]) for tensor in document.tensors}
        network = rebuild(document, bare)
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        _check_size(name, value.numel())
    _check_tensors(document, network, {name: _declared(entry) for name, entry in entries.items()})
    check_limits(document, network, max_gflops=max_gflops)
    return document


def _check_sizes(document: Document) -> None:
    for tensor in document.tensors:
        size = 1
        for each in tensor.shape:
            size *= max(each, 1)
        _check_size(tensor.path, size)


def _check_size(name: str, size: int) -> None:
    if size > MAX_ELEMENTS:
        raise NetworkTooLargeError(f"the tensor {name} has {size:,} elements; the limit is 2**28")


def _declared(entry: Mapping[str, Any]) -> tuple[str, list[int]]:
    return _SAFETENSORS[entry["dtype"]], entry["shape"]


def _check_tensors(document: Document, network: torch.nn.Module, given: Mapping[str, tuple[str, list[int]]]) -> None:
    bare = {tensor.path for tensor in document.tensors}
    expected = {
        name: (str(value.dtype).removeprefix("torch."), list(value.shape))
        for name, value in (*network.named_parameters(), *network.named_buffers())
        if document.pretrained or name in bare
    }
    for name in (*expected, *given):
        if name not in given:
            raise NetworkError(f"the file lacks the tensor {name}")
        if name not in expected:
            raise NetworkError(f"the file has the tensor {ascii(name)[:200]}, which the network does not have")
        if given[name] != expected[name]:
            ours, theirs = ("{} of shape {}".format(*each) for each in (given[name], expected[name]))
            raise NetworkError(f"the tensor {name} is {ours} in the file, and {theirs} in the network")
