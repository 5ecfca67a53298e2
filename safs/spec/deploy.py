"""The section ``deploy`` of a job spec: what is measured about the result in use."""

from typing import Literal

from pydantic import Field

from safs.spec.fields import Section

Format = Literal["compact", "onnx", "pt2", "torch", "c"]
"""Name in ``safs.deploy.formats.FORMATS``, which this module may not import."""

Runtime = Literal["torch", "sparse"]
"""Name in ``safs.deploy.loading.RUNTIMES``, which this module may not import."""


class DeploySpec(Section):
    """Measurements of the result in use, which the report has a section about."""

    formats: list[Format] = Field(["compact"], max_length=10)
    """Export formats whose size is measured, and whose outputs are compared with those of the result."""
    runtime: Runtime = "torch"
    """``sparse`` times the sparse runtime beside PyTorch on this machine's CPU; ``torch`` times nothing."""
