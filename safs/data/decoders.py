"""Processes that decode the pictures of batches, kept from one pass over the data to the next."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Sample: TypeAlias = tuple[str, int]
"""File and label of a picture."""
Decode: TypeAlias = Callable[[str], Tensor]
"""A function that can be pickled and compared: file -> uint8 [C, H, W]."""


PRELOAD = ["safs.data.file_split"]
"""Modules that are imported once, torch among them, and not by each process."""


class Decoders:
    """Decodes batches of pictures in child processes, which end with this object.

    They are started in the first pass, which takes seconds for the import of torch, and used in all others.
    One pass uses them at a time: a pass that begins before another has ended decodes in its own processes.
    """

    def __init__(self) -> None:
        self._loader: DataLoader[tuple[Tensor, Tensor]] | None = None
        self._made_for: tuple[Decode, int, bool] | None = None
        self._plan = _Plan()
        self._is_busy = False

    def __reduce__(self) -> tuple[type["Decoders"], tuple[()]]:
        """Processes stay where they are: a copy has none yet."""
        return Decoders, ()

    def batches(
        self, decode: Decode, samples: Sequence[Sequence[Sample]], *, workers: int, pin_memory: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images [B, C, H, W] and labels [B] of each batch.

        Args:
            samples: the batches.
            workers: number of processes; 0 decodes in this one.
            pin_memory: True if the batches are to be in pinned memory, for a copy to a GPU.
        """
        if self._is_busy or not workers:
            yield from _loader(decode, _Plan(samples), workers, pin_memory, keep=False)
            return
        if self._loader is None or self._made_for != (decode, workers, pin_memory):
            self._loader = _loader(decode, self._plan, workers, pin_memory, keep=True)
            self._made_for = decode, workers, pin_memory
        self._plan.batches, self._is_busy = samples, True
        try:
            yield from self._loader
        except Exception:  # A process may have died. The next pass starts others.
            self._loader = None
            raise
        finally:
            self._is_busy = False


class _Plan:
    """The batches of a pass, which torch reads at its beginning."""

    def __init__(self, batches: Sequence[Sequence[Sample]] = ()) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Sequence[Sample]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Decoded(Dataset[tuple[Tensor, int]]):
    def __init__(self, decode: Decode) -> None:
        self._decode = decode

    def __getitem__(self, sample: Sample) -> tuple[Tensor, int]:
        file, label = sample
        return self._decode(file), label


def _loader(
    decode: Decode, plan: _Plan, workers: int, pin_memory: bool, *, keep: bool
) -> "DataLoader[tuple[Tensor, Tensor]]":
    context = None
    if workers:
        context = multiprocessing.get_context("forkserver")  # A forked process with threads may hang.
        context.set_forkserver_preload(PRELOAD)
    return DataLoader(
        _Decoded(decode),  # type: ignore[arg-type]  # collated to tensors
        batch_sampler=plan,  # type: ignore[arg-type]  # samples in place of indices
        num_workers=workers,
        pin_memory=pin_memory,
        multiprocessing_context=context,
        persistent_workers=keep,
        generator=torch.Generator(),  # Without it every pass would draw from torch's global one.
    )
