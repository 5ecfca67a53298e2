"""Events of any kind, made from the types of their fields: a new kind or field joins by itself."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from safs.events.kinds import EVENT_KINDS, Event, TrialDone

_PLAIN: Mapping[Any, st.SearchStrategy[Any]] = {
    float: st.floats(allow_nan=False, allow_infinity=False),
    int: st.integers(0, 2**31 - 1),
    str: st.text(max_size=20),
}


def any_event(kind: str) -> st.SearchStrategy[Event]:
    """Events of ``kind`` with a value for every field, the optional ones included; numbers are finite."""
    return _any_value(EVENT_KINDS[kind])


def as_sent(event: Event) -> Event:
    """The event without the trial's curve, which has an endpoint of its own."""
    return replace(event, outcome=replace(event.outcome, curve=())) if isinstance(event, TrialDone) else event


def _any_value(kind: Any) -> st.SearchStrategy[Any]:
    arguments = get_args(kind)
    match get_origin(kind):
        case origin if origin in (Union, UnionType):
            return st.one_of(*map(_any_value, arguments))
        case origin if origin is dict:
            return st.dictionaries(*map(_any_value, arguments), max_size=4)
        case origin if origin is tuple:
            return st.lists(_any_value(arguments[0]), max_size=3).map(tuple)
        case _ if is_dataclass(kind):
            hints = get_type_hints(kind)
            return st.builds(kind, **{field.name: _any_value(hints[field.name]) for field in fields(kind)})
        case _:
            return _PLAIN[kind] if kind in _PLAIN else st.from_type(kind)
