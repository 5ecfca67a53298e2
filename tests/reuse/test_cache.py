from pathlib import Path

from safs.events.kinds import Stage
from safs.reuse.cache import FolderCache, NoCache


def test_a_folder_cache_keeps_outputs_for_later_processes(tmp_path: Path) -> None:
    (tmp_path / "output").write_bytes(b"network")
    FolderCache(tmp_path / "cache").put("key", Stage.DENSE, tmp_path / "output")
    (tmp_path / "output").unlink()

    found = FolderCache(tmp_path / "cache").get("key")

    assert found is not None
    assert found.file.read_bytes() == b"network"
    assert found.origin == str(tmp_path / "cache")


def test_the_first_output_under_a_key_stays(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache")
    for content in (b"first", b"second"):
        (tmp_path / "output").write_bytes(content)
        cache.put("key", Stage.DENSE, tmp_path / "output")

    found = cache.get("key")
    assert found is not None
    assert found.file.read_bytes() == b"first"
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["key"]


def test_a_missing_key_is_a_miss(tmp_path: Path) -> None:
    assert FolderCache(tmp_path / "cache").get("key") is None


def test_no_cache_stores_nothing(tmp_path: Path) -> None:
    (tmp_path / "output").write_bytes(b"network")
    cache = NoCache()
    cache.put("key", Stage.DENSE, tmp_path / "output")

    assert cache.get("key") is None
    assert cache.trials(Stage.TUNE) == ()
    assert cache.winners("lenet5", 3) == ()
