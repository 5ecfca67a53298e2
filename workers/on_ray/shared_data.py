"""Data that the trials of a node share through Ray's object store. Images are mapped into memory, not copied."""

from dataclasses import dataclass, replace
from typing import Any

import ray

from safs.data import Split, TensorSplit
from safs.data.features import SelectedSplit
from safs.execution.work import Context
from safs.inputs import InputSelection


@dataclass(frozen=True, slots=True)
class SharedSplit:
    """A split in the form that is sent to workers."""

    arrays: Any = None
    """Numpy arrays of a split in memory, which Ray maps without a copy; None for any other split."""
    split: Split | None = None
    """The split itself if it is not in memory."""
    selection: InputSelection | None = None
    """Selection to apply to the batches; None uses the whole input."""


@dataclass(frozen=True, slots=True)
class SharedContext:
    """A context whose large parts are references into the object store."""

    rest: ray.ObjectRef[Any]
    train: ray.ObjectRef[Any]
    validation: ray.ObjectRef[Any]

    def open(self) -> Context:
        """Return the context, on the calling node."""
        rest, train, validation = ray.get([self.rest, self.train, self.validation])
        assert isinstance(rest, Context)
        return replace(rest, data=replace(rest.data, train=unpack(train), validation=unpack(validation)))


class ObjectStore:
    """Puts contexts and splits into Ray's object store, each split once."""

    def __init__(self) -> None:
        self._splits: dict[int, tuple[Split, ray.ObjectRef[Any]]] = {}

    def share(self, context: Context) -> SharedContext:
        """Return references to the parts of ``context``."""
        data = context.data
        light = replace(context, data=replace(data, train=_EMPTY, validation=_EMPTY))
        return SharedContext(ray.put(light), self.share_split(data.train), self.share_split(data.validation))

    def share_split(self, split: Split) -> ray.ObjectRef[Any]:
        """Return a reference to the ``SharedSplit`` of ``split``. The split is kept alive, since its id is the key."""
        if id(split) not in self._splits:
            self._splits[id(split)] = (split, ray.put(pack(split)))
        return self._splits[id(split)][1]


def pack(split: Split) -> SharedSplit:
    """Return ``split`` in the form that is sent to workers."""
    if isinstance(split, SelectedSplit):
        return replace(pack(split.split), selection=split.kept)
    return SharedSplit(arrays=split.to_arrays()) if isinstance(split, TensorSplit) else SharedSplit(split=split)


def unpack(shared: SharedSplit) -> Split:
    """Return the split that ``pack`` was given."""
    if shared.selection is not None:
        return SelectedSplit(unpack(replace(shared, selection=None)), shared.selection)
    return shared.split if shared.split is not None else TensorSplit.from_arrays(shared.arrays)


_EMPTY: Any = None
