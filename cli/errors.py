"""What a person is told when a command fails."""

from pydantic import ValidationError

from safs.client import JobFailed, ServiceError
from safs.errors import SafsError


class CommandError(Exception):
    """A command cannot go on; the message says why and names the way out."""


def explain(error: Exception) -> str:
    """The error in words: what is wrong, where, and what to do about it."""
    match error:
        case SafsError(field=str(field)) if field not in error.message:
            return f"{field}: {error.message}"
        case ServiceError(errors=[_, *_] as errors):
            return "\n".join([error.detail, *(f"  {each['field']}: {each['message']}" for each in errors)])
        case ValidationError():
            return "\n".join(
                [f"{error.error_count()} value(s) of {error.title} are wrong", *map(_invalid_value, error.errors())]
            )
        case CommandError() | SafsError() | ServiceError() | JobFailed() | OSError():
            return str(error)
        case _ if _is_store_error(error):
            return str(error)
        case _:
            return f"unexpected {type(error).__name__}: {error} (SAFS_DEBUG=1 shows where)"


def _is_store_error(error: Exception) -> bool:
    """Whether the store raised it, told by name: importing the store takes longer than to fail."""
    return any(kind.__name__ == "StoreError" for kind in type(error).__mro__)


def _invalid_value(error: object) -> str:
    assert isinstance(error, dict)
    return f"  {'.'.join(map(str, error['loc']))}: {error['msg']}"
