"""Scoring a network on a split."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safs.data.split import Split


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy (a fraction) and mean cross-entropy (nats) over ``samples`` images."""

    accuracy: float
    cross_entropy: float
    samples: int
    predicted_classes: int
    """Number of classes that were predicted for at least one image."""


@torch.inference_mode()
def evaluate(model: nn.Module, split: Split, *, batch_size: int, device: torch.device) -> Evaluation:
    """Score ``model``, which maps images [B, C, H, W] to logits [B, classes], in eval mode, and restore its mode.

    The cross-entropy is not finite if a logit is not finite.
    """
    correct = torch.zeros((), dtype=torch.int64, device=device)
    entropy = torch.zeros((), dtype=torch.float32, device=device)
    seen: Tensor | None = None
    was_training = model.training
    model.eval()
    try:
        for images, labels in split.batches(batch_size, device=device):
            logits = model(images)
            predicted = logits.argmax(dim=1)
            seen = torch.zeros(logits.shape[1], dtype=torch.bool, device=device) if seen is None else seen
            seen.index_fill_(0, predicted, True)
            correct += (predicted == labels).sum()
            entropy += F.cross_entropy(logits.float(), labels, reduction="sum")
    finally:
        model.train(was_training)
    samples = len(split)
    classes = torch.zeros((), device=device) if seen is None else seen.sum()
    # Read at once, because each read makes the host wait for a GPU. Float64 holds all three exactly.
    hits, nats, predicted_classes = torch.stack([correct.double(), entropy.double(), classes.double()]).tolist()
    return Evaluation(hits / samples, nats / samples, samples, int(predicted_classes))
