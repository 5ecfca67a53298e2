"""Named networks that torch.fx cannot trace, captured by ``torch.export``."""

from functools import lru_cache

from safs.models.architectures import build
from safs.models.declared.capture import capture
from safs.models.declared.declaration import Declaration, declaration


@lru_cache(maxsize=16)
def captured(architecture: str, channels: int, image_size: int, classes: int) -> Declaration:
    """The declaration of a named network. It takes 5 to 30 seconds; the last sixteen are kept.

    Raises:
        SurgeryError: ``torch.export`` cannot export it either.
        NetworkError: it has a name or a size that no document can hold.
    """
    model = build(architecture, channels=channels, classes=classes, image_size=image_size, seed=0)
    found = capture(model, (channels, image_size), pretrained=False)
    return declaration(found.document, found.tensors)
