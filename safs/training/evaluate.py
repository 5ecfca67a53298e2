"""Scoring a network on a split."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from safs.data.split import Split


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy (a fraction) and mean cross-entropy (nats) over ``samples`` images."""

    accuracy: float
    cross_entropy: float
    samples: int


@torch.inference_mode()
def evaluate(model: nn.Module, split: Split, *, batch_size: int, device: torch.device) -> Evaluation:
    """Scores ``model``, which maps images [B, C, H, W] to logits [B, classes], in eval mode; then restores its mode.

    A network whose logits are not finite gets a cross-entropy that is not finite either.
    """
    correct = torch.zeros((), dtype=torch.int64, device=device)
    entropy = torch.zeros((), dtype=torch.float32, device=device)
    was_training = model.training
    model.eval()
    try:
        for images, labels in split.batches(batch_size, device=device):
            logits = model(images)
            correct += (logits.argmax(dim=1) == labels).sum()
            entropy += F.cross_entropy(logits.float(), labels, reduction="sum")
    finally:
        model.train(was_training)
    samples = len(split)
    return Evaluation(int(correct) / samples, float(entropy) / samples, samples)
