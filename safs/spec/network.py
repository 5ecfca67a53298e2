"""The section ``model`` of a job spec: the network to prune."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from safs.spec.fields import Name, PathText, Section


class ModelSpec(Section):
    """The network to prune."""

    network: PathText | None = None
    """Own network with its weights, from ``safs.capture``: the id of an upload, or a path for ``safs run``."""
    weights: PathText | None = None
    """Dense weights to start from: the id of an upload, or a path for ``safs run``. None trains the dense network."""
    architecture: Name | None = Field(None, validate_default=True)
    """Name in the models registry, ``torchvision/<name>``, ``timm/<name>`` or ``plugin/<name>``."""
    head: Literal["reset"] | None = None
    """``reset`` trains the given network with a fresh classifier for the classes of the data; None keeps its own."""

    @field_validator("weights")
    @classmethod
    def _own_network_has_weights(cls, weights: str | None, info: ValidationInfo) -> str | None:
        if weights is not None and info.data.get("network") is not None:
            raise ValueError("model.network holds its own weights; leave out model.weights")
        return weights

    @field_validator("architecture")
    @classmethod
    def _one_network(cls, architecture: str | None, info: ValidationInfo) -> str | None:
        if architecture is None and info.data.get("network", "") is None:
            raise PydanticCustomError("missing", "Field required, unless model.network is given")
        if architecture is not None and info.data.get("network") is not None:
            raise ValueError("give either model.architecture or model.network")
        return architecture

    @field_validator("head")
    @classmethod
    def _only_given_weights_have_a_head(cls, head: str | None, info: ValidationInfo) -> str | None:
        if head is not None and info.data.get("weights") is None and info.data.get("network") is None:
            raise ValueError("model.head is about given weights; give model.weights or model.network, or leave it out")
        return head

    @property
    def file(self) -> str | None:
        """The upload or the file that the job reads its network or its dense weights from."""
        return self.network or self.weights
