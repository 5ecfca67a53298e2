"""Mean and standard deviation that images are normalised by."""

from torch import Tensor, tensor, uint8

from safs.data.tensor_split import mean_and_std
from safs.errors import SpecError
from safs.spec.data import DataSpec


def normalisation(spec: DataSpec, images: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, float32 [channels] each, in the units of ``images``.

    They are those of ``images``, or those of ``data.normalise``, which are fractions of 255 for images of bytes.

    Args:
        images: training images, [N, C, H, W], where C is 1 or ``channels``.
    """
    if spec.normalise is None:
        mean, std = mean_and_std(images)
    else:
        scale = 255.0 if images.dtype == uint8 else 1.0
        mean, std = tensor(spec.normalise.mean) * scale, tensor(spec.normalise.std) * scale
    return mean.expand(channels).clone(), std.expand(channels).clone()


def check_normalise(spec: DataSpec, channels: int) -> None:
    """Raise SpecError if ``data.normalise`` does not have one number, or one for each of the network's channels."""
    if spec.normalise is None:
        return
    for name, numbers in (("mean", spec.normalise.mean), ("std", spec.normalise.std)):
        if len(numbers) not in (1, channels):
            raise SpecError(
                f"data.normalise.{name} has {len(numbers)} numbers, and the network reads {channels} channels. Give "
                "one number for all channels, or one for each.",
                field="data.normalise",
            )
