"""The networks of the matrix, and how each is built with random weights."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from safs import models
from safs.networks import Blueprint

CLASSES = 10
SMALL = 64
"""Pixels a side where the architecture takes them."""

# fmt: off
NAMED = (
    "torchvision/alexnet", "torchvision/vgg16_bn", "torchvision/resnet18", "torchvision/resnet50",
    "torchvision/resnext50_32x4d", "torchvision/wide_resnet50_2", "torchvision/squeezenet1_1",
    "torchvision/densenet121", "torchvision/googlenet", "torchvision/inception_v3",
    "torchvision/shufflenet_v2_x1_0", "torchvision/mobilenet_v2", "torchvision/mobilenet_v3_small",
    "torchvision/mnasnet0_5", "torchvision/regnet_y_400mf", "torchvision/efficientnet_b0",
    "torchvision/efficientnet_v2_s", "torchvision/convnext_tiny", "torchvision/vit_b_32", "torchvision/swin_t",
    "torchvision/swin_v2_t", "torchvision/maxvit_t",
    "timm/mobilevit_s", "timm/mobilevitv2_050", "timm/levit_128s", "timm/edgenext_xx_small", "timm/efficientvit_b0",
    "timm/convnext_atto", "timm/convnextv2_atto", "timm/coatnet_nano_rw_224", "timm/mixer_s32_224",
    "timm/gmlp_s16_224", "timm/resmlp_12_224", "timm/regnetx_002", "timm/rexnet_100", "timm/repvgg_a0",
    "timm/ghostnet_100", "timm/poolformer_s12", "timm/deit_tiny_patch16_224", "timm/cait_xxs24_224",
    "timm/xcit_nano_12_p16_224", "timm/pvt_v2_b0", "timm/resnetv2_50", "timm/dpn48b", "timm/hardcorenas_a",
    "timm/tinynet_a",
)
# fmt: on
"""Architectures of different families that a job names."""
HUGGING_FACE = ("vit", "deit", "beit", "swin", "convnext", "resnet", "mobilenet_v2", "dinov2")
"""Image classifiers of transformers, small, from their configurations."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A network of the matrix."""

    name: str
    blueprint: Blueprint | None
    """None for a network without a name in the service, which has to be captured."""
    build: Callable[[], nn.Module]
    channels: int
    image_size: int


def subject(name: str) -> Subject:
    """The network of this name; its library is imported."""
    if name.startswith("transformers/"):
        kind = name.removeprefix("transformers/")
        return Subject(name, None, lambda: _hugging_face(kind), 3, 64)
    shape = models.input_for(name, 3, SMALL)
    blueprint = Blueprint(name, shape.channels, shape.image_size, CLASSES)
    return Subject(name, blueprint, lambda: blueprint.build(0), shape.channels, shape.image_size)


def _hugging_face(kind: str) -> nn.Module:
    import transformers as hf

    encoder = {
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "image_size": 64,
        "patch_size": 8,
    }
    small = {"num_labels": CLASSES}
    networks: dict[str, Callable[[], nn.Module]] = {
        "vit": lambda: hf.ViTForImageClassification(hf.ViTConfig(**encoder, **small)),
        "deit": lambda: hf.DeiTForImageClassification(hf.DeiTConfig(**encoder, **small)),
        "beit": lambda: hf.BeitForImageClassification(hf.BeitConfig(**encoder, **small)),
        "dinov2": lambda: hf.Dinov2ForImageClassification(hf.Dinov2Config(**encoder, **small)),
        "swin": lambda: hf.SwinForImageClassification(
            hf.SwinConfig(
                image_size=64, patch_size=2, embed_dim=32, depths=[2, 2], num_heads=[2, 4], window_size=4, **small
            )
        ),
        "convnext": lambda: hf.ConvNextForImageClassification(
            hf.ConvNextConfig(hidden_sizes=[16, 32, 64, 128], depths=[1, 1, 2, 1], **small)
        ),
        "resnet": lambda: hf.ResNetForImageClassification(
            hf.ResNetConfig(
                embedding_size=16, hidden_sizes=[32, 64, 128], depths=[1, 1, 1], layer_type="basic", **small
            )
        ),
        "mobilenet_v2": lambda: hf.MobileNetV2ForImageClassification(
            hf.MobileNetV2Config(image_size=64, depth_multiplier=0.5, **small)
        ),
    }
    return networks[kind]()
