"""Networks by name: this package's, torchvision's and timm's. All are plain torch modules that do not import SAFS."""

from safs.models.architectures import MODELS, build, find, input_for, known_architectures
from safs.models.entry import InputShape, ModelEntry

__all__ = ["MODELS", "InputShape", "ModelEntry", "build", "find", "input_for", "known_architectures"]
