"""CPU time of a training step by memory layout and number format.

Three copies of each network take the same steps in turn: contiguous weights, channels-last weights, and channels-last
weights with products in bfloat16. The figures are medians, as shares of the first copy's.

    python -m benchmarks.layout --help
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

from benchmarks.training import processor_name
from safs import models
from safs.training.layout import to_fast_layout
from safs.training.settings import CPU

NETWORKS = (
    "lenet5:28:64",
    "resnet18:32:32",
    "torchvision/vgg11:32:32",
    "torchvision/mobilenet_v3_small:64:32",
    "torchvision/efficientnet_b0:64:16",
    "torchvision/densenet121:64:8",
    "torchvision/convnext_tiny:64:8",
)


def main() -> None:
    """Measure the networks and print the table."""
    parser = argparse.ArgumentParser(description="CPU time of a training step by memory layout and number format.")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="architecture:pixels:batch size, several")
    parser.add_argument("--steps", type=int, default=7, help="timed steps of each copy (default: 7)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(title="CPU time of a step, as a share of that with contiguous weights")
    for heading in ("network", "pixels", "batch", "channels-last", "channels-last, bfloat16"):
        table.add_column(heading)
    for network in arguments.networks:
        name, pixels, batch = network.rsplit(":", 2)
        times_s = measure(name, int(pixels), int(batch), arguments.steps)
        contiguous_s, *others_s = (median(steps) for steps in times_s)
        table.add_row(name, pixels, batch, *(f"{other_s / contiguous_s:.2f}" for other_s in others_s))
    Console(width=100).print(table)
    print(f"{processor_name()}, 1 thread, torch {torch.__version__}, Adam, median of {arguments.steps} steps")


def measure(name: str, pixels: int, batch: int, steps: int) -> list[list[float]]:
    """CPU seconds of each step: contiguous, channels-last, channels-last in bfloat16. The first step is not counted."""
    copies = [
        stepper(name, pixels, batch, fast=fast, bfloat16=bfloat16)
        for fast, bfloat16 in ((False, False), (True, False), (True, True))
    ]
    times_s: list[list[float]] = [[] for _ in copies]
    for number in range(steps + 1):
        for step, taken_s in zip(copies, times_s, strict=True):
            began_s = time.process_time()
            step()
            if number:
                taken_s.append(time.process_time() - began_s)
    return times_s


def stepper(name: str, pixels: int, batch: int, *, fast: bool, bfloat16: bool) -> Callable[[], None]:
    """A function that takes one training step on noise."""
    model = models.build(name, channels=3, classes=10, image_size=pixels, seed=0).train()
    if fast:
        to_fast_layout(model, CPU)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, pixels, pixels, generator=generator)
    labels = torch.randint(0, 10, (batch,), generator=generator)

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
