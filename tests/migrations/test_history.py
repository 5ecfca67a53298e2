"""The history of migrations as a whole, by pytest-alembic's own tests, on both databases."""

from collections.abc import Iterator

import pytest
from alembic.config import Config
from pytest_alembic.tests.default import (
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)

from migrations.commands import make_config
from store.session import Database, Transaction

__all__ = [
    "test_model_definitions_match_ddl",
    "test_single_head_revision",
    "test_up_down_consistency",
    "test_upgrade",
]


@pytest.fixture
def alembic_config() -> Config:
    """The Alembic config that ``safs migrate`` uses, which is made in code."""
    return make_config()


@pytest.fixture
def alembic_engine(empty_database_url: str) -> Iterator[Transaction]:
    """A transaction of ours, as ``safs migrate`` hands it to ``env.py``."""
    database = Database(empty_database_url)
    with database.begin() as tx:
        yield tx
    database.dispose()
