"""Checks of jobs in the process of the tests, which has imported torch anyway."""

from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Tests that start no app import neither.
    from api.checks.checker import Checker


class InThisProcess:
    """Answers at once, in this process. A timed estimate would limit the memory of the tests, so there is none.

    One thread answers at a time: torch.fx patches nn.Module for the whole process while it traces, which the service's
    forks do not see of each other.
    """

    _ANSWERING = Lock()

    def ask(self, body: bytes, *, limit_s: float, kind: bytes = b"-") -> bytes:
        from api.checks.answers import answer

        assert b'"kind":"estimate"' not in body or b'"untimed":null' not in body
        with self._ANSWERING:
            return answer(body)

    def close(self) -> None:
        """Nothing runs."""


def checker() -> "Checker":
    """A checker in this process, without timing."""
    from api.checks.checker import Checker

    return Checker(InThisProcess(), estimate_limit_s=0)


def with_catalog(names: Mapping[str, Any]) -> "Checker":
    """A checker in this process with another catalog, since timm's names take long to list."""
    from api.checks.checker import Checker

    class WithCatalog(Checker):
        def catalog(self) -> Mapping[str, Any]:
            return names

    return WithCatalog(InThisProcess(), estimate_limit_s=0)
