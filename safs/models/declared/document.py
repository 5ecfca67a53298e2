"""The document of a declared network: plain JSON that describes modules, tensors and two graphs of calls.

It holds no code. ``read`` parses a document strictly, ``canonical`` writes it in one way, and ``digest`` names it.
"""

import hashlib
import json
from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from safs.errors import NetworkError, NetworkTooLargeError
from safs.models.declared.names import Owner, Path

FORMAT = 1
MAX_BYTES = 4 * 2**20
"""Size of a document as JSON."""
MAX_NODES = 20_000
"""Calls in one graph."""
MAX_MODULES = 5_000
MAX_TENSORS = 5_000
MAX_RANK = 8
MAX_INTEGER = 2**31
MAX_DEPTH = 12
"""Levels of objects and lists. A document needs 7."""

Size = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Module(_Part):
    """A module of torch.nn."""

    path: Path
    kind: Annotated[str, Field(max_length=64)]
    """Name in ``safs.models.declared.modules``."""
    arguments: Annotated[dict[str, Any], Field(max_length=16)]
    """Arguments of its constructor by name; all that the table lists."""


class DeclaredTensor(_Part):
    """A tensor that belongs to no listed module."""

    path: Path
    kind: Literal["parameter", "buffer", "constant"]
    """A constant is not part of the state dict: a non-persistent buffer, or a tensor that a forward creates."""
    dtype: Literal["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    shape: Annotated[list[Size], Field(max_length=MAX_RANK)]
    trained: bool = True
    """False if a parameter gets no gradient."""


class Call(_Part):
    """One call of a graph. Its value has the number of its place in the list, from 1; the images are value 0.

    An argument is null, a boolean, a number, a text, ``{"node": 3}``, ``{"tensor": "cls_token"}``, ``{"float": "inf"}``
    or a list of these.
    """

    target: Annotated[str, Field(max_length=64)]
    """Name of an operation, or ``module``."""
    module: Path | None = None
    """Path of the called module, if ``target`` is ``module``."""
    args: Annotated[list[Any], Field(max_length=16)]
    kwargs: Annotated[dict[str, Any], Field(max_length=16)] = Field(default_factory=dict)
    owner: Owner = ""
    """Path of the calling module."""
    line: Annotated[int, Field(ge=0, le=MAX_NODES)] = 0
    """Calls from the same line of the user's code have the same number."""


class Graph(_Part):
    """The calls of one mode, in order."""

    calls: Annotated[list[Call], Field(max_length=MAX_NODES)]
    output: Annotated[int, Field(ge=0, le=MAX_NODES)]
    """Number of the value that holds the logits."""


class Document(_Part):
    """A network without its weights."""

    format: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
    """Name of the user's class, for people."""
    torch: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+]{1,40}$")]
    """Version of PyTorch that captured the network."""
    channels: Annotated[int, Field(ge=1, le=4)]
    image_size: Annotated[int, Field(ge=1, le=1024)]
    """Pixels a side."""
    classes: Annotated[int, Field(ge=1, le=100_000)]
    pretrained: bool
    """True if the file holds the weights of the modules."""
    modules: Annotated[list[Module], Field(max_length=MAX_MODULES)]
    """In the order of the state dict."""
    tensors: Annotated[list[DeclaredTensor], Field(max_length=MAX_TENSORS)]
    """In the order of the state dict; the file holds their values."""
    eval_graph: Graph
    train_graph: Graph


def read(text: str | bytes) -> Document:
    """Parse a document.

    Raises:
        NetworkTooLargeError: the text is longer than ``MAX_BYTES``, or a list is longer than its limit.
        NetworkError: the text is not JSON, has a key twice, a number that is not finite, or is no document.
    """
    encoded = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(encoded) > MAX_BYTES:
        raise NetworkTooLargeError(f"the network's document has {len(encoded):,} bytes; the limit is {MAX_BYTES:,}")
    if (depth := _depth(encoded)) > MAX_DEPTH:
        raise NetworkError(f"the network's document is nested {depth} levels deep; the limit is {MAX_DEPTH}")
    try:
        parsed = json.loads(
            encoded,
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_number,
            parse_float=_float,
            parse_int=_integer,
        )
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"the network's document is not JSON: {error}") from error
    return from_content(parsed)


def from_content(content: Any) -> Document:
    """The document with this content, as ``json.loads`` returns it.

    Raises:
        NetworkTooLargeError, NetworkError: as ``read``.
    """
    try:
        return Document.model_validate(content)
    except ValidationError as error:
        raise _first_fault(error) from error


def canonical(document: Document) -> str:
    """The document as JSON, always the same text for the same document."""
    content = document.model_dump(mode="json")
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(document: Document) -> str:
    """The sha256 (hexadecimal) of the canonical document."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def _depth(text: bytes) -> int:
    """Largest number of brackets that are open at once. Brackets inside of texts count, too; names have none."""
    depth = deepest = 0
    for byte in text:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if depth > 4 * MAX_DEPTH:
                break
        elif byte in b"]}":
            depth -= 1
    return deepest


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NetworkError("the network's document has a key twice in one object")
    return found


def _refuse_number(text: str) -> NoReturn:
    raise NetworkError(f"the network's document holds {text}, which is not a finite number")


def _float(text: str) -> float:
    # "1e999" is JSON, and Python reads it as infinity.
    return number if isfinite(number := float(text)) else _refuse_number(text[:20])


def _integer(text: str) -> int:
    # Python needs quadratic time to parse long integers.
    if len(text) > 11 or abs(int(text)) > MAX_INTEGER:
        raise NetworkTooLargeError(f"the network's document holds the integer {text[:20]}; the limit is 2**31")
    return int(text)


def _first_fault(error: ValidationError) -> NetworkError:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "it"
    message = f"the network's document is invalid: {where[:200]}: {first['msg'][:400]}"
    return NetworkTooLargeError(message) if first["type"] == "too_long" else NetworkError(message)
