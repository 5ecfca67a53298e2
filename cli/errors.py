"""Messages for people about failed commands."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from pydantic import ValidationError

from safs.client import JobFailed, ServiceError
from safs.errors import SafsError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from pydantic_settings import BaseSettings


class CommandError(Exception):
    """A command cannot continue; the message says why and what to do."""


def explain(error: Exception) -> str:
    """The error as text: what is wrong, where, and what to do."""
    match error:
        case SafsError(field=str(field)) if field not in error.message:
            return f"{field}: {error.message}"
        case ServiceError(errors=[_, *_]):
            return _refusal(error)
        case ValidationError():
            return _wrong_values(error)
        case CommandError() | SafsError() | ServiceError() | JobFailed() | OSError():
            return str(error)
        case ModuleNotFoundError(name=str(module)):
            return f"this needs the packages of the server, and {module} is missing: pip install 'safs-service[server]'"
        case RuntimeError() if "home directory" in str(error):  # raised by Path.expanduser
            return "this user has no home folder (HOME is not set); write the path without ~, or set HOME"
        case _ if _is_store_error(error):
            return str(error)
        case _:
            return f"unexpected {type(error).__name__}: {error} (SAFS_DEBUG=1 shows where)"


def _refusal(error: ServiceError) -> str:
    """The detail and the invalid fields of a refused request, without saying anything twice."""
    new = [each for each in error.errors if each["message"] not in error.detail]
    if not new and len(error.errors) == 1 and error.errors[0]["field"] not in error.detail:
        return f"{error.errors[0]['field']}: {error.detail}"
    return "\n".join([error.detail, *(f"  {each['field']}: {each['message']}" for each in new)])


def _is_store_error(error: Exception) -> bool:
    """True if the store raised the error. Compares names, since importing the store takes long."""
    return any(kind.__name__ == "StoreError" for kind in type(error).__mro__)


def _wrong_values(error: ValidationError) -> str:
    settings = next((kind for kind in _settings() if kind.__name__ == error.title), None)
    describe = _invalid_value if settings is None else partial(_invalid_setting, settings)
    lines = [describe(each) for each in error.errors()]
    return lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} values are wrong:", *lines])


def _settings() -> Iterator["type[BaseSettings]"]:
    """All classes of settings that are imported."""
    from pydantic_settings import BaseSettings

    kinds: list[type[BaseSettings]] = [BaseSettings]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        yield kind


def _invalid_setting(settings: "type[BaseSettings]", error: "ErrorDetails") -> str:
    """The variable, its value, and what is wrong. Messages of our own validators name the variable already."""
    message = _message(error)
    if not error["loc"]:
        return message
    field = str(error["loc"][0])
    variable = f"{settings.model_config['env_prefix']}{field}".upper()
    if variable in message:
        return message
    # A field whose value may hold a password is left out of the settings' representation, and of this message.
    value = _scalar(error["input"]) if settings.model_fields[field].repr else None
    return f"{variable}{'' if value is None else f' is {value}'}: {message[:1].lower()}{message[1:]}"


def _invalid_value(error: "ErrorDetails") -> str:
    path = ".".join(map(str, error["loc"]))
    return f"{path}: {with_value(error)}" if path else with_value(error)


def with_value(error: "ErrorDetails") -> str:
    """The problem with a value, and the value itself unless it may hold a password."""
    value = _scalar(error["input"])
    return _message(error) if value is None else f"{_message(error)} (given: {value})"


def _message(error: "ErrorDetails") -> str:
    return error["msg"].removeprefix("Value error, ")


def _scalar(value: object) -> str | None:
    """The value as text; None if it is not a text or number, or a URL, which may hold a password."""
    return repr(value) if isinstance(value, str | int | float) and "://" not in str(value) else None
