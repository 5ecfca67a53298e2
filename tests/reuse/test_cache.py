from pathlib import Path

from safs.events.kinds import Stage
from safs.reuse.cache import FolderMemory, NoMemory


def test_a_folder_gives_back_what_it_was_given_to_a_later_process_too(tmp_path: Path) -> None:
    (tmp_path / "output").write_bytes(b"network")
    FolderMemory(tmp_path / "kept").keep("key", Stage.DENSE, tmp_path / "output")
    (tmp_path / "output").unlink()

    found = FolderMemory(tmp_path / "kept").recall("key")

    assert found is not None
    assert found.file.read_bytes() == b"network"
    assert found.origin == str(tmp_path / "kept")


def test_the_first_to_keep_a_key_stays(tmp_path: Path) -> None:
    memory = FolderMemory(tmp_path / "kept")
    for content in (b"first", b"second"):
        (tmp_path / "output").write_bytes(content)
        memory.keep("key", Stage.DENSE, tmp_path / "output")

    found = memory.recall("key")
    assert found is not None
    assert found.file.read_bytes() == b"first"
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["key"]


def test_what_was_never_kept_is_not_found(tmp_path: Path) -> None:
    assert FolderMemory(tmp_path / "kept").recall("key") is None


def test_no_memory_remembers_nothing(tmp_path: Path) -> None:
    (tmp_path / "output").write_bytes(b"network")
    memory = NoMemory()
    memory.keep("key", Stage.DENSE, tmp_path / "output")

    assert memory.recall("key") is None
    assert memory.trials(Stage.TUNE) == ()
    assert memory.winners("lenet5", 3) == ()
