"""Dead neurons by activation site: neurons that pass no gradient, and the reason.

A neuron is one element of a site's output for one image; in a convolution, one position of one channel. It is dead for
an input x if the site's activation f has |f'(x)| <= ``FLAT``: no gradient passes, and changing x changes nothing.

- relu is dead exactly where its output is 0, as in the definition of the dead-neuron rate (DNR). relu6 is also dead
  where it saturates at 6, hardswish is dead below -3, and the identity is never dead.
- Smooth operators are never exactly flat. With ``FLAT`` as threshold, tanh is flat beyond |x| = 4.1, gelu below -3.8,
  elu and softplus below -6.9, and swish below -9.0. At the minimum of such an operator (swish: -1.28), f' crosses zero
  on a narrow interval. f' is the derivative of the site itself, with alpha and beta.

A dead neuron is static if all weights that lead to it are pruned: it is dead for every image and never recovers. It is
dynamic if it is dead for this image although live weights lead to it. Liu, Ghosh, Tan, Motani, "AP" (2022),
arXiv:2212.06145; the definitions follow the paper's text, since its code has none. Both rates are fractions of all
neurons of the site, averaged over images, so they add up to the DNR. A unit without live weights whose bias keeps it
above zero is not dead: its bias still learns.

The neurons that no live weight leads to are measured, not read from the graph. The image and the output of every site
are replaced by fresh noise; a neuron's input stays the same to the bit if no live weight leads to it from the image or
an earlier site. The measurement needs no knowledge of norms, pooling, views or concatenation. A neuron behind a
residual sum is static if all summands are without live weights. A border position whose live weights read only padding
is static, and so is a neuron that no image reaches (the position bias of Swin v2). Neurons fed only by dead neurons
have weights and count as dynamic.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from safs.activations.module import Activation
from safs.activations.surgery import RewiredModel
from safs.data.split import Split
from safs.modes import in_mode

FLAT = 1e-3
"""Largest |f'| that counts as zero; the identity has 1. Two such neurons in a row leave a millionth of a gradient,
about the rounding error of float32."""
_PROBES = 3
"""Number of passes with noise. Two passes agree by rounding for about one neuron in ten million."""


@dataclass(frozen=True, slots=True)
class SiteDeadNeurons:
    """Rates of dead neurons at one site."""

    path: str
    operator: str
    neurons: int
    """Number of elements of the site's output for one image."""
    static: float
    """Statically dead fraction of ``neurons``."""
    dynamic: float
    """Dynamically dead fraction of ``neurons``, averaged over the images."""


def measure_dead_neurons(
    model: RewiredModel, split: Split, *, batch_size: int, device: torch.device
) -> tuple[SiteDeadNeurons, ...]:
    """Static and dynamic dead rates by site over ``split``, in eval mode. ``model``, on ``device``, is not changed."""
    image = next(iter(split.batches(1, device=device)))[0]
    with in_mode(model, False), torch.no_grad(), counting_dead_neurons(model, image) as count:
        for images, _ in split.batches(batch_size, device=device):
            model(images)
    return count.sites()


@contextmanager
def counting_dead_neurons(model: RewiredModel, image: Tensor) -> Iterator["DeadNeuronCount"]:
    """Count dead neurons in every forward pass of ``model`` while the context is open.

    Args:
        image: [1, C, H, W], on the model's device; only its shape is used.
    """
    with in_mode(model, False), torch.no_grad():
        count = DeadNeuronCount(model, _fed_neurons(model, image))
    with _hooked(model, count.add):
        yield count


def derivative(activation: nn.Module, x: Tensor) -> Tensor:
    """f'(x) of an elementwise ``activation``, by autograd, in the shape of ``x``."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = activation.forward(x)
        # Of a sum, as a gradient that is given would import sympy for a check of its shape: 0.4 s of CPU.
        (slope,) = torch.autograd.grad(y.sum(), x)
    return slope


class DeadNeuronCount:
    """Counts of dead neurons by site, added up on the device.

    Args:
        fed: site path -> bool tensor in the shape of one image's activations there; True if live weights lead to the
            neuron.
    """

    def __init__(self, model: RewiredModel, fed: Mapping[str, Tensor]) -> None:
        self._activations = model.activations
        self._fed = {path: neurons.flatten() for path, neurons in fed.items()}
        self._all, self._dynamic = ({path: _zero(neurons) for path, neurons in fed.items()} for _ in range(2))
        self._images = Counter[str]()

    def add(self, path: str, activation: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> None:
        """Add the dead neurons of one call of site ``path`` on a batch."""
        fed = self._fed[path]
        dead = (derivative(activation, args[0]).abs() <= FLAT).reshape(-1, fed.numel())
        self._all[path] += dead.count_nonzero()
        self._dynamic[path] += (dead & fed).count_nonzero()
        self._images[path] += len(dead)

    def sites(self) -> tuple[SiteDeadNeurons, ...]:
        """Rates over all batches that were added."""
        return tuple(self._site(path, activation) for path, activation in self._activations.items())

    def _site(self, path: str, activation: nn.Module) -> SiteDeadNeurons:
        operator = activation.operator.name if isinstance(activation, Activation) else type(activation).__name__
        neurons, dynamic = self._fed[path].numel(), int(self._dynamic[path])
        passed = neurons * self._images[path]
        return SiteDeadNeurons(path, operator, neurons, (int(self._all[path]) - dynamic) / passed, dynamic / passed)


def _zero(like: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.int64, device=like.device)


def _fed_neurons(model: RewiredModel, image: Tensor) -> dict[str, Tensor]:
    """Site path -> bool [1, ...], True for neurons that live weights lead to (see the module docstring)."""
    generator = torch.Generator().manual_seed(0)  # Any noise works if no two sites or passes share it.
    seen: dict[str, list[Tensor]] = {path: [] for path in model.activations}

    def replace(path: str, _activation: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen[path].append(args[0].clone())
        return _noise_like(output, generator)

    with _hooked(model, replace):
        for _ in range(_PROBES):  # Separate passes: rows of one batch can round the same sum differently.
            model(_noise_like(image, generator))
    return {path: (torch.stack(inputs[1:]) != inputs[0]).any(dim=0) for path, inputs in seen.items()}


def _noise_like(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator).to(x)


@contextmanager
def _hooked(model: RewiredModel, hook: Callable[..., Tensor | None]) -> Iterator[None]:
    """Call ``hook``, with the site's path as first argument, after every call of a site."""
    with ExitStack() as stack:
        for path, activation in model.activations.items():
            stack.callback(activation.register_forward_hook(partial(hook, path)).remove)
        yield
