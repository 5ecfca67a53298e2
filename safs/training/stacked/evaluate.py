"""Scoring the networks of a stack on a split."""

import torch
import torch.nn.functional as F
from torch import Tensor

from safs.training.evaluate import Evaluation
from safs.training.settings import TrainingData
from safs.training.stacked.network import StackedNetwork
from safs.training.stacked.stack import split


@torch.inference_mode()
def evaluate_stack(network: StackedNetwork, data: TrainingData) -> list[Evaluation]:
    """Score each network on the validation split in eval mode, with one read by the host; restores the mode."""
    size, device = network.size, data.device
    correct = torch.zeros(size, dtype=torch.float64, device=device)
    entropy = torch.zeros(size, dtype=torch.float32, device=device)
    seen: Tensor | None = None
    was_training = network.training
    network.eval()
    try:
        for images, labels in data.validation.batches(data.batch_size, device=device):
            logits = network(images)  # [B, K, classes]
            predicted = logits.argmax(dim=2)
            found = torch.zeros(size, logits.shape[2], device=device)
            found.scatter_(1, predicted.t(), 1.0)
            seen = found if seen is None else torch.maximum(seen, found)
            correct += (predicted == labels.unsqueeze(1)).sum(0)
            each = F.cross_entropy(logits.flatten(0, 1).float(), labels.repeat_interleave(size), reduction="none")
            entropy += split(each, 0, (-1, size)).sum(0)
    finally:
        network.train(was_training)
    samples = len(data.validation)
    classes = torch.zeros(size, device=device) if seen is None else seen.sum(1)
    rows = torch.stack([correct, entropy.double(), classes.double()], dim=1).tolist()
    return [Evaluation(hits / samples, nats / samples, samples, int(predicted)) for hits, nats, predicted in rows]
