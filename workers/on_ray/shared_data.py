"""What the trials of a node share: a context in Ray's object store, images as arrays that are mapped, not copied."""

from dataclasses import dataclass, replace
from typing import Any

import ray

from safs.data import Split, TensorSplit
from safs.data.features import SelectedSplit
from safs.execution.work import Context
from safs.inputs import InputSelection


@dataclass(frozen=True, slots=True)
class SharedSplit:
    """A split on its way: numpy arrays for one in memory (Ray maps these without a copy), else itself."""

    arrays: Any = None
    split: Split | None = None
    selection: InputSelection | None = None
    """To be applied to the batches of the split above."""


@dataclass(frozen=True, slots=True)
class SharedContext:
    """A context of which the heavy parts are references into the object store."""

    rest: ray.ObjectRef[Any]
    train: ray.ObjectRef[Any]
    validation: ray.ObjectRef[Any]

    def open(self) -> Context:
        """The context itself, on the node that asks."""
        rest, train, validation = ray.get([self.rest, self.train, self.validation])
        assert isinstance(rest, Context)
        return replace(rest, train=unpack(train), validation=unpack(validation))


class ObjectStore:
    """Puts contexts and splits into Ray's object store, each split once a run."""

    def __init__(self) -> None:
        self._splits: dict[int, tuple[Split, ray.ObjectRef[Any]]] = {}

    def share(self, context: Context) -> SharedContext:
        """References to ``context``."""
        light = replace(context, train=_EMPTY, validation=_EMPTY)
        return SharedContext(ray.put(light), self.share_split(context.train), self.share_split(context.validation))

    def share_split(self, split: Split) -> ray.ObjectRef[Any]:
        """A reference to a ``SharedSplit``; the split is kept, so that its identity stays its own."""
        if id(split) not in self._splits:
            self._splits[id(split)] = (split, ray.put(pack(split)))
        return self._splits[id(split)][1]


def pack(split: Split) -> SharedSplit:
    """``split`` in the form that travels."""
    if isinstance(split, SelectedSplit):
        return replace(pack(split.full), selection=split.kept)
    return SharedSplit(arrays=split.to_arrays()) if isinstance(split, TensorSplit) else SharedSplit(split=split)


def unpack(shared: SharedSplit) -> Split:
    """The inverse of ``pack``."""
    if shared.selection is not None:
        return SelectedSplit(unpack(replace(shared, selection=None)), shared.selection)
    return shared.split if shared.split is not None else TensorSplit.from_arrays(shared.arrays)


_EMPTY: Any = None
