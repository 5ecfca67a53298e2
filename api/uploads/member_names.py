"""Names of the members of an archive, which must be safe as relative paths on every system."""

from api.uploads.strict_safetensors import Refused, shown

MAX_NAME_BYTES = 1024
MAX_PART_BYTES = 255
"""Maximum length of a file name on common file systems."""
MAX_DEPTH = 12


class MemberNames:
    """Checks the names of an archive's members.

    Args:
        most: maximum number of members.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add(self, name: str, *, is_folder: bool) -> str:
        """The name without a final slash.

        Raises:
            Refused: the name is no relative path, or leads out of the archive; it occurs twice, or is a file and a
                folder; or there are too many members.
        """
        checked = name.removesuffix("/") if is_folder else name
        parts = checked.removeprefix("./").split("/")
        if checked in (".", "./") and is_folder:
            return "."
        self._check_parts(name, parts)
        path = "/".join(parts)
        if is_folder and path in self._folders and path not in self._files:
            return path
        folders = {"/".join(parts[:length]) for length in range(1, len(parts))}
        if path in self._files or path in self._folders or not folders.isdisjoint(self._files):
            raise Refused(f"the archive has the name {shown(name)} twice, or as a file and as a folder")
        (self._folders if is_folder else self._files).add(path)
        self._folders |= folders
        if len(self._files) + len(self._folders) > self._most:
            raise Refused(f"the archive has more than {self._most:,} files and folders")
        return path

    def _check_parts(self, name: str, parts: list[str]) -> None:
        if not name or name.startswith("/") or any(part in ("", ".", "..") for part in parts):
            raise Refused(
                f"the archive has the name {shown(name)}; names must be relative paths, without '..' or empty parts"
            )
        if not name.isprintable() or "\\" in name or ":" in parts[0][1:2]:
            raise Refused(f"the archive has the name {shown(name)}; names must be printable, without '\\' and drives")
        encoded = [part.encode() for part in parts]
        if len(parts) > MAX_DEPTH or max(map(len, encoded)) > MAX_PART_BYTES or sum(map(len, encoded)) > MAX_NAME_BYTES:
            raise Refused(
                f"the archive has the name {shown(name)}; names have at most {MAX_DEPTH} parts of {MAX_PART_BYTES} "
                f"bytes, and {MAX_NAME_BYTES} bytes in all"
            )
