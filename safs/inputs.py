"""The inputs that a network reads, where those are fewer than its images have."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class InputSelection:
    """Which pixels or channels of full images [batch, C, H, W] a network reads.

    The reduced form is [batch, k, 1, 1] for pixels, each kept pixel a channel, so that ``flatten(1)`` gives [batch, k];
    and [batch, k, H, W] for channels.

    Raises:
        ValueError: nothing is kept, or ``kept`` is not ascending from 0.
    """

    kind: Literal["pixel", "channel"]
    kept: tuple[int, ...]
    """Flat indices over C * H * W, or channel indices; ascending, each once."""

    def __post_init__(self) -> None:
        if not self.kept:
            raise ValueError(f"a selection of inputs keeps at least one {self.kind}")
        if self.kept[0] < 0 or any(right <= left for left, right in zip(self.kept, self.kept[1:], strict=False)):
            raise ValueError(f"the kept {self.kind}s are to be ascending from 0, each once")
