"""Names that a declared network may use.

torch.fx writes Python source from the names of parameters and modules, so a name from outside could inject code. Only
names that match ``NAME`` and collide with nothing of ``torch.nn.Module`` and of this package reach it.
"""

import keyword
import re
from typing import Annotated

from pydantic import AfterValidator

from safs.graphs import GraphNetwork

LONGEST = 200
"""Characters in a name."""
NAME = re.compile(r"[\w-]+(\.[\w-]+){0,15}", re.ASCII)
"""A dotted path of at most 16 parts. A part may be a number, as in ``nn.Sequential``, and hold hyphens, as in RegNet:
torch.fx writes parts that are no identifiers of Python as quoted text."""
OURS = "_safs"
"""Prefix of the names that this package adds to networks."""
_RESERVED = frozenset(dir(GraphNetwork()))


def fault_of(name: str) -> str | None:
    """Why ``name`` cannot be the path of a module or a tensor; None if it can.

    >>> fault_of("layer1.0.weight"), fault_of("a.class")
    (None, "its part 'class' is a keyword of Python")
    """
    if len(name) > LONGEST:
        return f"it has {len(name)} characters; the limit is {LONGEST}"
    if NAME.fullmatch(name) is None:
        return "it must have up to 16 parts of ASCII letters, digits, underscores and hyphens, with dots between them"
    for part in name.split("."):
        if keyword.iskeyword(part):
            return f"its part {part!r} is a keyword of Python"
        if part.startswith(("__", OURS)):
            return f"its part {part!r} begins with '__' or {OURS!r}"
        if part in _RESERVED:
            return f"its part {part!r} is a member of every torch.nn.Module"
    return None


def _checked(name: str) -> str:
    if (fault := fault_of(name)) is not None:
        raise ValueError(f"the name {name[:LONGEST]!r} cannot be used: {fault}")
    return name


Path = Annotated[str, AfterValidator(_checked)]
"""Path of a module or a tensor."""


def _checked_owner(name: str) -> str:
    return name and _checked(name)


Owner = Annotated[str, AfterValidator(_checked_owner)]
"""Path of the module that makes a call; empty for the network itself."""
