"""Databases whose connections break at a chosen moment."""

from collections.abc import Iterator
from contextlib import contextmanager

from store.errors import DatabaseUnavailable
from store.session import Database, Transaction


class LostAnswers(Database):
    """A database whose connection breaks right after a commit, so that the commit looks like a failure.

    Args:
        answers_lost: number of commits whose answer is lost; counted down.
        after: number of commits before the first lost answer.
    """

    def __init__(self, url: str, answers_lost: int, after: int = 0) -> None:
        super().__init__(url)
        self.answers_lost, self._after = answers_lost, after

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        with super().begin() as tx:
            yield tx
        if self._after > 0:
            self._after -= 1
        elif self.answers_lost > 0:
            self.answers_lost -= 1
            raise DatabaseUnavailable("the connection was lost before the commit was answered")
