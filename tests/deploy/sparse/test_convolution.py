"""The sparse convolution against torch's, for every setting that it takes."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from safs.activations.module import Activation
from safs.activations.operators import OPERATORS
from safs.deploy.sparse.activation import fused
from safs.deploy.sparse.convolution import ConvolutionShape, SparseConvolution
from safs.deploy.sparse.planes import Memory, to_images, to_planes, view


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def sparse_weight(*shape: int, sparsity: float = 0.6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator)
    return weight.where(torch.rand(shape, generator=generator) > sparsity, 0.0)


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


SETTINGS = {
    # channels, outputs, kernel, stride, padding, dilation, height, width, images
    "3x3": (3, 5, 3, 1, 1, 1, 8, 8, 2),
    "without padding": (3, 5, 5, 1, 0, 1, 12, 10, 3),
    "stride 2": (4, 6, 3, 2, 1, 1, 8, 6, 2),
    "pointwise, stride 2": (4, 6, 1, 2, 0, 1, 8, 6, 2),
    "stem": (3, 8, 7, 2, 3, 1, 16, 16, 1),
    "patches": (3, 8, 4, 4, 0, 1, 16, 16, 1),
    "dilated": (4, 6, 3, 1, 2, 2, 9, 9, 2),
    "pointwise": (4, 6, 1, 1, 0, 1, 5, 5, 40),
    "large": (16, 16, 3, 1, 1, 1, 32, 32, 16),
    "one pixel": (5, 7, 3, 1, 1, 1, 1, 1, 3),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_result_is_that_of_torch(name: str, threads: int) -> None:
    channels, outputs, kernel, stride, padding, dilation, height, width, count = SETTINGS[name]
    weight, bias = sparse_weight(outputs, channels, kernel, kernel), images(outputs)
    x = images(count, channels, height, width)
    shape = ConvolutionShape((stride, stride), (padding, padding), (dilation, dilation))
    convolution = SparseConvolution(weight, bias, shape)
    assert convolution.takes(height, width)

    from_images, from_planes = convolution(x, pad=1), convolution(to_planes(x, 1))

    expected = F.conv2d(x, weight, bias, stride, padding, dilation)
    for planes in (from_images, from_planes):
        assert torch.allclose(to_images(planes), expected, atol=1e-5)
        view(planes.data, planes.geometry).zero_()
        assert not planes.data.any(), "there is something beside the pixels"


@pytest.mark.parametrize(
    ("height", "width", "stride", "padding"), [(7, 8, 2, 1), (8, 7, 2, 1), (8, 8, 1, 2), (2, 2, 1, 0)]
)
def test_images_whose_output_does_not_fit_are_not_taken(height: int, width: int, stride: int, padding: int) -> None:
    shape = ConvolutionShape((stride, stride), (padding, padding), (1, 1))

    assert not SparseConvolution(sparse_weight(2, 2, 3, 3), torch.zeros(2), shape).takes(height, width)


def test_a_layer_without_live_weights_returns_its_bias() -> None:
    shape = ConvolutionShape((1, 1), (1, 1), (1, 1))
    convolution = SparseConvolution(torch.zeros(2, 3, 3, 3), torch.tensor([1.0, -2.0]), shape)

    y = to_images(convolution(images(2, 3, 4, 4)))

    assert torch.equal(y, torch.tensor([1.0, -2.0])[None, :, None, None].expand(2, 2, 4, 4))


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("start", [1.0, 0.8, -0.7])
def test_every_operator_follows_the_addition(operator: str, start: float) -> None:
    if OPERATORS[operator].always_trainable and start < 0:
        start = 1.3  # srs has a pole for scalars of different signs
    scalars = {name: start + 0.1 * at for at, name in enumerate(OPERATORS[operator].scalars)}
    site = Activation(OPERATORS[operator], values=scalars).requires_grad_(False)
    weight, bias, x = sparse_weight(6, 4, 3, 3), images(6), images(3, 4, 6, 6)
    residual = images(3, 6, 6, 6)
    convolution = SparseConvolution(weight, bias, ConvolutionShape((1, 1), (1, 1), (1, 1)))

    planes = convolution(x, to_planes(residual, 1), fused(site))

    expected = site(F.conv2d(x, weight, bias, padding=1) + residual)
    assert torch.allclose(to_images(planes), expected, rtol=1e-4, atol=1e-4)
    view(planes.data, planes.geometry).zero_()
    assert not planes.data.any(), "there is something beside the pixels"


def test_memory_that_is_used_again_gives_the_same_result() -> None:
    convolution = SparseConvolution(sparse_weight(6, 4, 3, 3), images(6), ConvolutionShape((1, 1), (1, 1), (1, 1)))
    memory, x = Memory(), images(3, 4, 6, 6)
    first = convolution(x, memory=memory)
    before = to_images(first)
    memory.give_back(first)

    again = convolution(x, memory=memory)

    assert again.data is first.data
    assert torch.equal(to_images(again), before)
