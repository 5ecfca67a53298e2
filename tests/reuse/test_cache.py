from pathlib import Path

from safs.events.kinds import Stage
from safs.reuse.cache import FolderCache, NoCache


def test_a_folder_gives_back_what_it_was_given_to_a_later_process_too(tmp_path: Path) -> None:
    (tmp_path / "output").write_bytes(b"network")
    FolderCache(tmp_path / "kept").put("key", Stage.DENSE, tmp_path / "output")
    (tmp_path / "output").unlink()

    found = FolderCache(tmp_path / "kept").get("key")

    assert found is not None
    assert found.file.read_bytes() == b"network"
    assert found.origin == str(tmp_path / "kept")


def test_the_first_to_keep_a_key_stays(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "kept")
    for content in (b"first", b"second"):
        (tmp_path / "output").write_bytes(content)
        cache.put("key", Stage.DENSE, tmp_path / "output")

    found = cache.get("key")
    assert found is not None
    assert found.file.read_bytes() == b"first"
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["key"]


def test_what_was_never_kept_is_not_found(tmp_path: Path) -> None:
    assert FolderCache(tmp_path / "kept").get("key") is None


def test_no_memory_remembers_nothing(tmp_path: Path) -> None:
    (tmp_path / "output").write_bytes(b"network")
    cache = NoCache()
    cache.put("key", Stage.DENSE, tmp_path / "output")

    assert cache.get("key") is None
    assert cache.trials(Stage.TUNE) == ()
    assert cache.winners("lenet5", 3) == ()
