"""Scores: the importance of each weight, not below 0; weights of low scores are pruned.

Masked weights score 0 and all others more, so that no pruned weight replaces a live one. Scores see the masked network
in eval mode. The model, its buffers and modes, and torch's global generators stay as they are.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from safs.pruning.axes.lookahead import neighbour_norms
from safs.pruning.eval_mode import evaluating
from safs.pruning.masks import Masks, prunable_parameters
from safs.registry import Registry

Batches: TypeAlias = Callable[[], Iterator[tuple[Tensor, Tensor]]]
"""() -> the same training batches every time, not augmented: images [B, C, H, W], labels [B], on the model's device."""


@dataclass(frozen=True, slots=True)
class ScoreInput:
    """The inputs of a score."""

    model: nn.Module
    masks: Masks | None
    """Masks of all prunable parameters; None if nothing is pruned yet."""
    batches: Batches
    seed: int


@dataclass(frozen=True, slots=True)
class Score:
    """A measure of the importance of weights."""

    summary: str
    source: str
    """Author, year and arXiv id of the paper."""
    compute: Callable[[ScoreInput], dict[str, Tensor]]
    """Returns, by name, the scores of each prunable parameter: float32 or float64, of its shape, on its device."""


def magnitude(given: ScoreInput) -> dict[str, Tensor]:
    """|w|. Han, Pool, Tran, Dally (2015), arXiv:1506.02626."""
    return _live({name: weight.abs() for name, weight in _weights(given).items()}, given.masks)


def gradient(given: ScoreInput) -> dict[str, Tensor]:
    """|w dL/dw|: the first-order change of the mean cross-entropy L over the batches if w were 0.

    Molchanov, Tyree, Karras, Aila, Kautz (2017), arXiv:1611.06440; before training it equals SNIP (Lee, Ajanthan, Torr,
    2019, arXiv:1810.02340). Computed in eval mode, so that it depends neither on dropout nor on batch statistics.
    """
    weights = {name: weight.clone().requires_grad_() for name, weight in _weights(given).items()}
    buffers = {name: buffer.clone() for name, buffer in given.model.named_buffers()}
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    samples = 0
    with evaluating(given.model, given.seed), torch.enable_grad():
        for images, labels in given.batches():
            logits = functional_call(given.model, {**weights, **buffers}, (images,))
            loss = F.cross_entropy(logits, labels, reduction="sum")
            _add_gradients(sums, loss, weights)
            samples += len(labels)
    assert samples
    return _live(
        {name: (weight.detach() * sums[name] / samples).abs() for name, weight in weights.items()}, given.masks
    )


def synflow(given: ScoreInput) -> dict[str, Tensor]:
    """|w dR/dw|, with R = 1^T (product over layers of |W|) 1: the flow through a weight, independent of data.

    Tanaka, Kunin, Yamins, Ganguli (2020), arXiv:2006.05467; meant for many rounds (100 in the paper), with new scores
    in each. R is the summed output for an image of ones, of the first batch's shape, with all parameters replaced by
    their absolute values. Two departures from the authors' code keep to the equation on trained networks: added terms
    (biases, running means, position embeddings, tokens) are 0, and the image is 1e-100 instead of 1, in float64, which
    the score undoes. R is linear in the image where activations are linear, and bounded and smooth activations (ReLU6,
    SiLU, tanh) are linear only near 0. Almost nothing flows through the weights of gates (squeeze and excitation).
    """
    scale = 1e-100
    live = _weights(given)
    weights = {name: weight.abs().double().requires_grad_() for name, weight in live.items()}
    prunable = {id(weight) for weight in prunable_parameters(given.model).values()}
    others = {
        name: _flowing(name, value.detach())
        for name, value in (*given.model.named_parameters(), *given.model.named_buffers())
        if id(value) not in prunable  # excludes a tied weight under its second name, such as an embedding's
    }
    images, _ = next(given.batches())
    ones = torch.full((1, *images.shape[1:]), scale, dtype=torch.float64, device=images.device)
    flows = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    with evaluating(given.model, given.seed), torch.enable_grad():
        total = functional_call(given.model, {**others, **weights}, (ones,)).sum()
        _add_gradients(flows, total, weights)
    return _live({name: weight.detach() * flows[name].abs() / scale for name, weight in weights.items()}, given.masks)


def lookahead(given: ScoreInput) -> dict[str, Tensor]:
    """|w_ij| * norm of the weights that make input j * norm of the weights that read output i, with batch norm folded.

    Park, Lee, Mo, Shin (2020), arXiv:2002.04809. ``safs.pruning.axes.lookahead`` defines the neighbours.
    """
    weights = _weights(given)
    with evaluating(given.model, given.seed):
        images, _ = next(given.batches())
        norms = neighbour_norms(given.model, weights, images.shape[1:])
    return _live({name: weight.abs() * norms[name] for name, weight in weights.items()}, given.masks)


def random(given: ScoreInput) -> dict[str, Tensor]:
    """Uniform in (0, 1], by the seed: the control. Gale, Elsen, Hooker (2019), arXiv:1902.09574."""
    generator = torch.Generator().manual_seed(given.seed)
    weights = prunable_parameters(given.model)
    scores = {name: 1 - torch.rand(weight.shape, generator=generator) for name, weight in weights.items()}
    return _live({name: score.to(weights[name].device) for name, score in scores.items()}, given.masks)


def _weights(given: ScoreInput) -> dict[str, Tensor]:
    """Returns the prunable weights, detached and masked."""
    weights = {name: weight.detach() for name, weight in prunable_parameters(given.model).items()}
    masks = given.masks or {}
    return {name: weight * masks[name] if name in masks else weight for name, weight in weights.items()}


def _live(scores: dict[str, Tensor], masks: Masks | None) -> dict[str, Tensor]:
    """Returns the scores clamped to the smallest normal number or more, and 0 for masked weights."""
    positive = {name: score.clamp(min=torch.finfo(score.dtype).tiny) for name, score in scores.items()}
    return positive if masks is None else {name: score * masks[name] for name, score in positive.items()}


def _add_gradients(sums: Mapping[str, Tensor], total: Tensor, weights: Mapping[str, Tensor]) -> None:
    """Adds d total / d weight to ``sums``; weights that eval mode does not use have no gradient."""
    gradients = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    for name, found in zip(weights, gradients, strict=True):
        if found is not None:
            sums[name].add_(found)


_ADDED = re.compile(r"bias|mean|token|pos_?emb")


def _flowing(name: str, value: Tensor) -> Tensor:
    """Returns the value that ``synflow`` uses for a parameter or buffer that is not a prunable weight."""
    if not value.is_floating_point():
        return value.clone()
    added = _ADDED.search(name.rpartition(".")[2]) is not None
    return torch.zeros_like(value, dtype=torch.float64) if added else value.abs().double()


SCORES: Registry[Score] = Registry(
    "score",
    {
        "magnitude": Score("the weight's absolute value", "Han et al. (2015), arXiv:1506.02626", magnitude),
        "gradient": Score(
            "the first-order change of the loss if the weight were 0",
            "Molchanov et al. (2017), arXiv:1611.06440",
            gradient,
        ),
        "synflow": Score(
            "the flow through the weight, independent of data", "Tanaka et al. (2020), arXiv:2006.05467", synflow
        ),
        "lookahead": Score(
            "the weight times the norms of those before and after it", "Park et al. (2020), arXiv:2002.04809", lookahead
        ),
        "random": Score("random, by the seed: the control", "Gale et al. (2019), arXiv:1902.09574", random),
    },
)
