"""Finds the pictures of an image_folder data set: its splits, its class folders, and the files that are not used."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from safs.data.locations import path_under_root
from safs.data.partition import Counts, Indices, counts_of
from safs.errors import DataError, legible
from safs.spec.data import DataSpec

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff"})
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Split -> lower-case names of its folder."""
SYSTEM_NAMES = frozenset(
    {
        "__macosx",
        "__pycache__",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
    }
)
"""Lower-case names of files and folders that operating systems and tools create. They are skipped, as hidden ones."""
MAX_SUFFIXES = 5
"""Largest number of suffixes that a note lists."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Files, and the numbers of their classes, int64 [N]."""

    files: tuple[str, ...]
    labels: Indices

    def take(self, indices: Indices) -> "Pictures":
        """The pictures at ``indices``."""
        return Pictures(tuple(self.files[index] for index in indices), self.labels[indices])


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """The pictures of a data set by split."""

    classes: tuple[str, ...]
    """Names of the class folders, sorted."""
    pool: Pictures
    """Pictures to train on, and to split off the splits that are None."""
    validation: Pictures | None
    test: Pictures | None
    notes: tuple[str, ...]
    """Sentences about files and folders that are not used."""

    @property
    def files(self) -> tuple[str, ...]:
        """All files of all splits."""
        parts = (self.pool, self.validation, self.test)
        return tuple(file for part in parts if part is not None for file in part.files)

    def counts(self, spec: DataSpec) -> Counts:
        """Sizes of the splits that the pool gives."""
        return counts_of(
            len(self.pool.files),
            spec.validation_fraction if self.validation is None else 0.0,
            spec.test_fraction if self.test is None else 0.0,
        )


def find(spec: DataSpec, root: Path | None, left_out: Collection[str] = ()) -> ClassFolders:
    """Find the pictures under ``spec.path``; opens none of them.

    Args:
        left_out: names of folders that are no class.

    Raises:
        DataError: the folder does not follow the layout, a class has no pictures, or a link leads out of the root.
    """
    folder = path_under_root(spec, root)
    if not folder.is_dir():
        raise DataError(f"data.path {spec.path!r} is not a folder.", field="data.path")
    inside = folder if root is None else root.resolve()
    splits, others = _splits(folder)
    base = splits.get("train", folder)
    classes = tuple(entry.name for entry in _folders(base) if entry.name not in left_out)
    if len(classes) < 2:
        count = f"{len(classes)} class folder{'' if len(classes) == 1 else 's'}"
        raise DataError(f"{base} has {count}; it needs one for each class, two or more.", field="data.path")
    skipped = _Skipped()
    pool = _list(base, classes, inside, skipped, left_out, complete=True)
    validation, test = (
        _list(splits[name], classes, inside, skipped, left_out) if name in splits else None
        for name in ("validation", "test")
    )
    notes = skipped.sentences()
    if others:
        unused = f"{' and '.join(others)} {'is' if len(others) == 1 else 'are'} not used."
        notes.insert(0, f"beside {base.name}, {unused}")
    summary = (legible(f"data.path {spec.path!r}: {' '.join(notes)}"),) if notes else ()
    return ClassFolders(classes, pool, validation, test, summary)


class _Skipped:
    """Counts of files by suffix, and of folders, that are inside of class folders and are not used."""

    def __init__(self) -> None:
        self.suffixes: Counter[str] = Counter()
        self.folders = 0

    def sentences(self) -> list[str]:
        """Sentences for people; none if nothing is skipped."""
        found = []
        if self.suffixes:
            total = self.suffixes.total()
            verb = "file is not a picture and is" if total == 1 else "files are not pictures and are"
            found.append(f"{total:,} {verb} not used: {by_suffix(self.suffixes)}.")
        if self.folders:
            what, verb = ("folder", "is") if self.folders == 1 else ("folders", "are")
            found.append(f"{self.folders:,} {what} inside of the class folders {verb} not used.")
        return found


def by_suffix(counts: Mapping[str, int]) -> str:
    """Counts of files by suffix, the most frequent first.

    >>> by_suffix({".txt": 1, ".gif": 2, "": 1})
    '2 .gif, 1 without a suffix, 1 .txt'
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    listed = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in ordered[:MAX_SUFFIXES]]
    rest = sum(count for _, count in ordered[MAX_SUFFIXES:])
    return ", ".join([*listed, f"{rest:,} others"] if rest else listed)


def _splits(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Split -> its folder, and the names of the other folders beside train; both empty for class folders alone."""
    entries = list(_folders(folder))
    found: dict[str, Path] = {}
    for split, names in SPLIT_NAMES.items():
        matches = [entry for entry in entries if entry.name.lower() in names]
        if len(matches) > 1:
            both = " and ".join(entry.name for entry in matches)
            raise DataError(f"{folder} has {both}; keep one folder for the {split} split.", field="data.path")
        found |= dict.fromkeys([split], matches[0]) if matches else {}
    if "train" in found:
        return found, [entry.name for entry in entries if entry not in found.values()]
    if found:
        names_found = " and ".join(sorted(path.name for path in found.values()))
        raise DataError(
            f"{folder} has {names_found}, but no train; put the class folders of the training pictures into train.",
            field="data.path",
        )
    return {}, []


def _folders(folder: Path) -> Iterator[Path]:
    """Folders in ``folder`` in the order of their names, without hidden and system ones."""
    return (entry for entry in sorted(folder.iterdir()) if not is_system_file(entry.name) and entry.is_dir())


def is_system_file(name: str) -> bool:
    """True for the name of a hidden file, and of one that an operating system or a tool created."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def _list(
    base: Path,
    classes: Sequence[str],
    inside: Path,
    skipped: _Skipped,
    left_out: Collection[str],
    *,
    complete: bool = False,
) -> Pictures:
    """All pictures of ``base``'s class folders, in the order of their names.

    Args:
        complete: True refuses a class without pictures; otherwise one picture of any class is enough.
    """
    files: list[str] = []
    labels: list[int] = []
    empty: list[str] = []
    before = Counter(skipped.suffixes)
    for entry in _folders(base):
        if entry.name in left_out:
            continue
        if entry.name not in classes:
            raise DataError(
                f"{entry} is not a class of the training pictures ({', '.join(classes)}).", field="data.path"
            )
        pictures = _pictures(_inside(base, inside) / entry.name, inside, skipped)
        files += pictures
        labels += [classes.index(entry.name)] * len(pictures)
        empty += [] if pictures else [entry.name]
    if (complete and empty) or not files:
        _refuse(base, empty, skipped.suffixes - before)
    return Pictures(tuple(files), np.array(labels, dtype=np.int64))


def _refuse(base: Path, empty: Sequence[str], skipped: Counter[str]) -> None:
    names = ", ".join(map(repr, empty))
    which = f"the class folder {names} has" if len(empty) == 1 else f"the class folders {names} have"
    others = f" Files that are not pictures: {by_suffix(skipped)}." if skipped else ""
    raise DataError(
        f"in {base} {which} no pictures ({', '.join(sorted(SUFFIXES))}).{others} Add pictures, or remove the folder.",
        field="data.path",
    )


def _pictures(folder: Path, inside: Path, skipped: _Skipped) -> list[str]:
    pictures = []
    for entry in sorted(_inside(folder, inside).iterdir()):
        if is_system_file(entry.name):
            continue
        if entry.is_dir():
            skipped.folders += 1
        elif entry.suffix.lower() in SUFFIXES and entry.is_file():
            pictures.append(str(_inside(entry, inside)))
        elif entry.is_symlink() and entry.suffix.lower() in SUFFIXES:
            _inside(entry, inside)
        else:
            skipped.suffixes[entry.suffix.lower()] += 1
    return pictures


def _inside(path: Path, inside: Path) -> Path:
    """``path``, resolved if it is a link; raises DataError if the link leads out of ``inside``, the data root."""
    if not path.is_symlink():
        return path
    try:
        resolved = path.resolve()
    except RuntimeError as error:
        raise DataError(f"{path} is a link to itself.", field="data.path") from error
    if not resolved.is_relative_to(inside):
        raise DataError(f"{path} is a link that leads out of the data root.", field="data.path")
    return resolved
