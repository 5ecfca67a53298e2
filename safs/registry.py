"""Registries: read-only mappings from the names of the REST API to their entries."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from safs.errors import UnknownNameError

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry]):
    """A read-only mapping that raises an error with the known names if a name is missing.

    >>> colours = Registry("colour", {"red": 1, "green": 2})
    >>> colours["red"], list(colours)
    (1, ['red', 'green'])
    >>> try:
    ...     colours["gren"]
    ... except UnknownNameError as error:
    ...     print(error)
    unknown colour 'gren'. Did you mean 'green' or 'red'? Known: red, green.
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._entries) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
