"""Recorded steps: batches are copied to fixed memory, and batches of another size run as they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from safs.training.stacked.captured import WARM_UP_STEPS, CapturedStep


@dataclass
class FakeRecorder:
    """Records by remembering the work, and reads what a GPU would read: the memory of the recording."""

    events: list[str] = field(default_factory=list)

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        self.events.append("warm up")
        yield

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.events.append("record")

        def replay() -> None:
            self.events.append("replay")
            work()

        return replay


def test_a_step_is_recorded_once_after_the_warm_up_and_repeated_on_the_batches() -> None:
    recorder, seen, memory = FakeRecorder(), [], set()

    def step(images: Tensor, labels: Tensor) -> None:
        seen.append((images.sum().item(), labels.sum().item()))
        memory.add(images.data_ptr())

    captured = CapturedStep(step, recorder)
    batches = [(torch.full((4, 1), float(number)), torch.full((4,), number)) for number in range(WARM_UP_STEPS + 3)]
    for images, labels in batches:
        captured(images, labels)

    assert seen == [(images.sum().item(), labels.sum().item()) for images, labels in batches]
    assert recorder.events == ["warm up"] * WARM_UP_STEPS + ["record"] + ["replay"] * 3
    assert len(memory) == WARM_UP_STEPS + 1


def test_a_batch_of_another_size_is_an_ordinary_step() -> None:
    recorder, sizes = FakeRecorder(), []
    captured = CapturedStep(lambda images, labels: sizes.append(len(images)), recorder)
    whole, short = (torch.zeros(4, 1), torch.zeros(4)), (torch.zeros(3, 1), torch.zeros(3))

    for _ in range(WARM_UP_STEPS):
        captured(*whole)
    captured(*short)
    captured(*whole)

    assert sizes == [4] * WARM_UP_STEPS + [3, 4]
    assert recorder.events == ["warm up"] * WARM_UP_STEPS + ["record", "replay"]
