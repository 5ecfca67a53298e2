"""A folder of a user who has files named as our packages and as those that we depend on."""

from pathlib import Path

MARK = "imported"
NAMES = ("cli", "store", "safs", "workers", "search_spaces", "numpy", "torch", "ray", "pydantic", "rich", "random")


def plant(folder: Path) -> Path:
    """Fills the folder with modules and a package ``api``; each says that it was imported and ends its process."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / f"{name}.py").write_text(_code(folder, name))
    (folder / "api").mkdir()
    (folder / "api" / "__init__.py").write_text(_code(folder, "api"))
    return folder


def imported(folder: Path) -> list[str]:
    """The planted modules that some process has imported."""
    return sorted(mark.suffix.removeprefix(".") for mark in folder.glob(f"{MARK}.*"))


def _code(folder: Path, name: str) -> str:
    return (
        f"open({str(folder / MARK) + '.' + name!r}, 'w').close()\nraise SystemExit('{name} of the user was imported')\n"
    )
