"""The target of a job that gives a cost in place of a sparsity."""

from typing import Literal

from pydantic import Field, model_validator

from safs.spec.fields import Section

Measure = Literal["flops", "bytes", "latency"]


class TargetSpec(Section):
    """A cost of the result, in place of a sparsity: exactly one of its fields is given.

    The job finds the lowest sparsity whose estimated cost is at most this, and measures the cost of the result.

    >>> TargetSpec(flops=0.3).measure, TargetSpec(flops=0.3).value
    ('flops', 0.3)
    """

    flops: float | None = Field(None, gt=0, lt=1)
    """Fraction of the dense network's operations that are left, if zeros cost nothing."""
    bytes: int | None = Field(None, ge=1, le=2**53)
    """Size of the compact checkpoint, in bytes."""
    latency: float | None = Field(None, gt=0, lt=1)
    """Fraction of the dense network's time for one image that the sparse runtime takes, on the CPU of the runner."""

    @model_validator(mode="after")
    def _one_cost(self) -> "TargetSpec":
        given = self.model_dump(exclude_none=True)
        if len(given) != 1:
            named = f"; {', '.join(given)} are given" if given else ""
            raise ValueError(f"give exactly one of flops, bytes and latency{named}")
        return self

    @property
    def measure(self) -> Measure:
        """The cost that is given."""
        return "flops" if self.flops is not None else "bytes" if self.bytes is not None else "latency"

    @property
    def value(self) -> float:
        """Its value: a fraction of the dense network's, or bytes."""
        value: float = getattr(self, self.measure)
        return value
