"""Dead neurons by activation site: those that pass no gradient, and why.

A neuron is one element of a site's output for one image; in a convolution, one position of one channel. For an input x
it is dead where the site's activation f has |f'(x)| <= ``FLAT``: no gradient passes, and changing x changes nothing.

- relu: dead exactly where the output is 0, as the dead-neuron rate (DNR) is defined for it. relu6 is dead where it
  saturates at 6 as well, hardswish below -3, and the identity never.
- Smooth operators are never quite flat; ``FLAT`` says from where on they count as flat: tanh beyond |x| = 4.1, gelu
  below -3.8, elu and softplus below -6.9, swish below -9.0. Where such an operator turns (swish at -1.28), f' crosses
  zero; that point is narrow. f' is that of the site itself, alpha and beta included.

A dead neuron is static if all weights that lead to it are pruned: it is the same for every image and never recovers.
It is dynamic if it is dead for this image though weights lead to it. Liu, Ghosh, Tan, Motani, "AP" (2022),
arXiv:2212.06145; the definitions are recalled, their code has none. Both rates are fractions of all neurons of the
site, averaged over images, so they add up to the DNR. A unit without weights whose bias keeps it above zero is not
dead: its bias still learns.

Which neurons no weight leads to is measured, not looked up in the graph: with fresh noise as the image and in place of
the output of every site, a neuron's input stays the same to the bit if no live weight leads to it from the image or an
earlier site. This sees through norms, pooling, views and concatenation without knowing them. Of a residual sum, all
summands must be without weights; a border position whose live weights read nothing but padding counts as static, which
it is, and so does what no image reaches (the position bias of Swin v2). Neurons fed by dead neurons alone do have
weights and count as dynamic.
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
from safs.activations.symbolic_trace import in_mode
from safs.data.split import Split

FLAT = 1e-3
"""The largest |f'| that counts as none, where the identity has 1: two such neurons in a row leave a millionth of a
gradient, about what float32 rounds away."""
_PROBES = 3
"""Passes with noise: two could agree by rounding, for one neuron in ten million."""


@dataclass(frozen=True, slots=True)
class SiteDeadNeurons:
    """The dead neurons of one site."""

    path: str
    operator: str
    neurons: int
    """Elements of the site's output for one image."""
    static: float
    dynamic: float
    """Fractions of ``neurons``, averaged over the images."""


def measure_dead_neurons(
    model: RewiredModel, split: Split, *, batch_size: int, device: torch.device
) -> tuple[SiteDeadNeurons, ...]:
    """Static and dynamic dead rates by site over ``split``, in eval mode; ``model``, on ``device``, stays as it is."""
    image = next(iter(split.batches(1, device=device)))[0]
    with in_mode(model, False), torch.no_grad(), counting_dead_neurons(model, image) as count:
        for images, _ in split.batches(batch_size, device=device):
            model(images)
    return count.sites()


@contextmanager
def counting_dead_neurons(model: RewiredModel, image: Tensor) -> Iterator["DeadNeuronCount"]:
    """While it is open, dead neurons are counted in every forward pass of ``model``, whatever else that pass is for.

    Args:
        image: [1, C, H, W], on the model's device; its shape alone matters.
    """
    with in_mode(model, False), torch.no_grad():
        count = DeadNeuronCount(model, _fed_neurons(model, image))
    with _hooked(model, count.add):
        yield count


def derivative(activation: nn.Module, x: Tensor) -> Tensor:
    """f'(x) of an elementwise ``activation``, by autograd; of the shape of ``x``."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = activation.forward(x)
        (slope,) = torch.autograd.grad(y, x, torch.ones_like(y))
    return slope


class DeadNeuronCount:
    """Dead neurons by site, added up on the device.

    Args:
        fed: site path -> bool, of one image's shape there: to which neurons live weights lead.
    """

    def __init__(self, model: RewiredModel, fed: Mapping[str, Tensor]) -> None:
        self._activations = model.activations
        self._fed = {path: neurons.flatten() for path, neurons in fed.items()}
        self._all, self._dynamic = ({path: _zero(neurons) for path, neurons in fed.items()} for _ in range(2))
        self._images = Counter[str]()

    def add(self, path: str, activation: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> None:
        """Adds the neurons of a call of site ``path`` on a batch."""
        fed = self._fed[path]
        dead = (derivative(activation, args[0]).abs() <= FLAT).reshape(-1, fed.numel())
        self._all[path] += dead.count_nonzero()
        self._dynamic[path] += (dead & fed).count_nonzero()
        self._images[path] += len(dead)

    def sites(self) -> tuple[SiteDeadNeurons, ...]:
        """The rates so far."""
        return tuple(self._site(path, activation) for path, activation in self._activations.items())

    def _site(self, path: str, activation: nn.Module) -> SiteDeadNeurons:
        operator = activation.operator.name if isinstance(activation, Activation) else type(activation).__name__
        neurons, dynamic = self._fed[path].numel(), int(self._dynamic[path])
        passed = neurons * self._images[path]
        return SiteDeadNeurons(path, operator, neurons, (int(self._all[path]) - dynamic) / passed, dynamic / passed)


def _zero(like: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.int64, device=like.device)


def _fed_neurons(model: RewiredModel, image: Tensor) -> dict[str, Tensor]:
    """Site path -> bool [1, ...]: to which of its neurons live weights lead (see this file's head)."""
    generator = torch.Generator().manual_seed(0)  # Any noise will do, as long as no two sites or passes share it.
    seen: dict[str, list[Tensor]] = {path: [] for path in model.activations}

    def replace(path: str, _activation: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen[path].append(args[0].clone())
        return _noise_like(output, generator)

    with _hooked(model, replace):
        for _ in range(_PROBES):  # Not as one batch, in whose rows the same sum could be rounded differently.
            model(_noise_like(image, generator))
    return {path: (torch.stack(inputs[1:]) != inputs[0]).any(dim=0) for path, inputs in seen.items()}


def _noise_like(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator).to(x)


@contextmanager
def _hooked(model: RewiredModel, hook: Callable[..., Tensor | None]) -> Iterator[None]:
    """``hook``, with the site's path as first argument, after every call of a site."""
    with ExitStack() as stack:
        for path, activation in model.activations.items():
            stack.callback(activation.register_forward_hook(partial(hook, path)).remove)
        yield
