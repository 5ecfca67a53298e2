"""Images per second of ``TrainingSession`` against a plain PyTorch DataLoader loop, side by side in one run.

Both train the same network on the same real images (Fashion-MNIST where its files are found, else scikit-learn's
digits) with the same batch size and Adam. The plain loop is that of torchvision's examples: PIL images, ToTensor,
Normalize, DataLoader, ``loss.item()``; the session is compared with the fastest of its worker counts. The session
besides applies the masks of a network pruned to 99% and scores one batch of validation images an epoch. They take
turns, after one epoch each that does not count.

    python -m benchmarks.training --help
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from safs import models
from safs.data import TensorSplit, inspect, load
from safs.errors import DataError
from safs.pruning.axes.distributions import live_total
from safs.pruning.masks import Masks, prunable_parameters
from safs.pruning.selection.mask_from_scores import choose
from safs.spec.job import DataSpec, Recipe
from safs.training.session import TrainingSession

LEARNING_RATE = 1e-3
VALIDATION_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Contest:
    """A network, and how many images an epoch has."""

    architecture: str
    channels: int
    image_size: int
    images: int


def main() -> None:
    arguments = parse_arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    spec = choose_data(arguments.data_root)
    contests = [
        Contest("lenet5", 1, 28, arguments.lenet5_images),
        Contest("resnet18", 3, 32, arguments.resnet18_images),
    ]
    table = Table(title=f"Images per second, median of {arguments.repetitions} (lowest to highest)")
    for heading in ("network", "images", "plain DataLoader loop", "workers", "TrainingSession", "ratio of medians"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for contest in contests:
        if contest.images:
            table.add_row(*measure(contest, spec, arguments, device))
    console = Console(width=120)
    console.print(table)
    console.print(describe_machine(device, spec, arguments))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Images per second of TrainingSession against a plain DataLoader loop."
    )
    parser.add_argument("--lenet5-images", type=int, default=8192, help="images an epoch; 0 leaves lenet5 out")
    parser.add_argument("--resnet18-images", type=int, default=128, help="images an epoch; 0 leaves resnet18 out")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=5, help="epochs that count, of each")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="the plain loop's DataLoader workers")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves torch's own choice")
    parser.add_argument("--data-root", type=Path, default=None, help="where Fashion-MNIST may be")
    return parser.parse_args()


def choose_data(root: Path | None) -> DataSpec:
    """Fashion-MNIST where it is at hand, else digits."""
    spec = DataSpec(dataset="fashion_mnist")
    try:
        inspect(spec, root)
    except DataError:
        return DataSpec(dataset="digits")
    return spec


def measure(contest: Contest, spec: DataSpec, arguments: argparse.Namespace, device: torch.device) -> list[str]:
    """A row of the table."""
    train, validation = take_images(contest, spec, arguments.data_root)
    epochs: dict[str, Callable[[], None]] = {
        f"plain {workers}": plain_epoch(contest, train, arguments.batch_size, workers, device)
        for workers in arguments.workers
    }
    epochs["session"] = session_epoch(contest, train, validation, arguments, device)
    rates: dict[str, list[float]] = {name: [] for name in epochs}
    for repetition in range(arguments.repetitions + 1):
        for name, epoch in epochs.items():
            started = time.perf_counter()
            epoch()
            if repetition:  # The first is a warm-up.
                rates[name].append(len(train) / (time.perf_counter() - started))
    session = rates.pop("session")
    best = max(rates, key=lambda name: median(rates[name]))
    ratio = median(session) / median(rates[best])
    workers = best.removeprefix("plain ")
    return [contest.architecture, str(len(train)), spread(rates[best]), workers, spread(session), f"{ratio:.2f}"]


def take_images(contest: Contest, spec: DataSpec, root: Path | None) -> tuple[TensorSplit, TensorSplit]:
    """Training images, repeated where the data set has fewer than the contest asks for, and a few for validation."""
    splits = load(spec, root=root, channels=contest.channels, image_size=contest.image_size, seed=0)
    assert isinstance(splits.train, TensorSplit)
    assert isinstance(splits.validation, TensorSplit)
    return (
        chosen(splits.train, torch.arange(contest.images) % len(splits.train)),
        chosen(splits.validation, torch.arange(VALIDATION_SAMPLES)),
    )


def chosen(split: TensorSplit, indices: Tensor) -> TensorSplit:
    return replace(split, images=split.images[indices], labels=split.labels[indices])


def session_epoch(
    contest: Contest, train: TensorSplit, validation: TensorSplit, arguments: argparse.Namespace, device: torch.device
) -> Callable[[], None]:
    model = build(contest, train.classes)
    session = TrainingSession(
        model,
        train,
        validation,
        recipe=Recipe(optimizer="adam", learning_rate=LEARNING_RATE),
        epochs=arguments.repetitions + 1,
        batch_size=arguments.batch_size,
        seed=0,
        device=device,
        masks=_masks(model),
    )

    def epoch() -> None:
        session.step()

    return epoch


def _masks(model: nn.Module) -> Masks:
    scores = {name: parameter.detach().abs() for name, parameter in prunable_parameters(model).items()}
    live = live_total(sum(score.numel() for score in scores.values()), 0.99)
    return choose(scores, live, distribution="global", granularity="weight")


class PilImages(Dataset[tuple[Tensor, int]]):
    """What torchvision's own data sets do: a PIL image from an array in memory, then the transforms."""

    def __init__(self, split: TensorSplit) -> None:
        self._arrays = split.images.permute(0, 2, 3, 1).squeeze(-1).contiguous().numpy()
        self._labels = split.labels.tolist()
        normalise = transforms.Normalize((split.mean / 255).tolist(), (split.std / 255).tolist())
        self._transform = transforms.Compose([transforms.ToTensor(), normalise])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._arrays[index])), self._labels[index]


def plain_epoch(
    contest: Contest, train: TensorSplit, batch_size: int, workers: int, device: torch.device
) -> Callable[[], None]:
    model = build(contest, train.classes).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loader: DataLoader[Any] = DataLoader(
        PilImages(train),
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )

    def epoch() -> None:
        running_loss = 0.0
        for images, labels in loader:
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            torch.autograd.backward(loss)
            optimizer.step()
            running_loss += loss.item() * len(labels)

    return epoch


def build(contest: Contest, classes: int) -> nn.Module:
    return models.build(
        contest.architecture, channels=contest.channels, classes=classes, image_size=contest.image_size, seed=0
    )


def spread(rates: list[float]) -> str:
    return f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def describe_machine(device: torch.device, spec: DataSpec, arguments: argparse.Namespace) -> str:
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return (
        f"{where}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}; {spec.dataset}, batches of {arguments.batch_size}, Adam."
    )


def processor_name() -> str:
    """The processor's model name where the system tells it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
