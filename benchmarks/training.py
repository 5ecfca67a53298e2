"""Images per second of ``TrainingSession``, of a plain PyTorch DataLoader loop, and of forward and backward alone.

All train the same network on the same real images (Fashion-MNIST if its files are found, else scikit-learn's digits)
with the same batch size and Adam. The plain loop is that of torchvision's examples: PIL images, ToTensor, Normalize,
DataLoader, ``loss.item()``. The session is compared with the plain loop's fastest number of workers. In addition, the
session applies the masks of a network pruned to 99%, and evaluates one batch of validation images in each epoch. The
third program only runs forward and backward, on resident batches: they are normalised and on the device. All three run
in turn, after one epoch of warm-up each.

With ``--clock cpu`` the CPU time of this process is measured instead of wall time, as other programs disturb it less.

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
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.pruning.selection.choose_masks import choose_masks
from safs.spec.data import DataSpec
from safs.spec.training import Recipe
from safs.training.allocator import keep_freed_memory
from safs.training.layout import to_fast_layout
from safs.training.session import TrainingSession
from safs.training.settings import TrainingData, TrainingSettings

LEARNING_RATE = 1e-3
VALIDATION_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Contest:
    """A network, its images, and their number in an epoch."""

    architecture: str
    channels: int
    image_size: int
    images: int


def main() -> None:
    """Measure the networks and print the table."""
    arguments = parse_arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    if arguments.keep_memory:
        keep_freed_memory()
    spec = choose_data(arguments.data_root)
    contests = [
        Contest("lenet5", 1, 28, arguments.lenet5_images),
        Contest("resnet18", 3, 32, arguments.resnet18_images),
        Contest("mlp", 1, 28, arguments.mlp_images),
    ]
    table = Table(title=f"Images per second, median of {arguments.repetitions} (lowest to highest)")
    for heading in ("network", "images", "plain loop", "workers", "resident", "session", "gain", "over resident"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for contest in contests:
        if contest.images:
            table.add_row(*measure(contest, spec, arguments, device))
    console = Console(width=120)
    console.print(table)
    console.print(describe_machine(device, spec, arguments))


def parse_arguments() -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(description="Images per second of TrainingSession and of a plain DataLoader loop.")
    add, device = parser.add_argument, "cuda" if torch.cuda.is_available() else "cpu"
    add("--lenet5-images", type=int, default=8192, help="images in an epoch; 0 skips lenet5 (default: 8192)")
    add("--resnet18-images", type=int, default=128, help="images in an epoch; 0 skips resnet18 (default: 128)")
    add("--mlp-images", type=int, default=8192, help="images in an epoch; 0 skips mlp (default: 8192)")
    add("--batch-size", type=int, default=128, help="images in a batch (default: 128)")
    add("--repetitions", type=int, default=5, help="timed epochs of each (default: 5)")
    add("--workers", type=int, nargs="+", default=[0, 2], help="numbers of DataLoader workers (default: 0 2)")
    add("--device", default=device, help="cpu, cuda, cuda:1 ... (default: cuda if available)")
    add("--threads", type=int, default=0, help="torch's threads; 0 uses torch's default (default: 0)")
    add("--keep-memory", action="store_true", help="keep freed memory, as workers on the CPU do; for all programs")
    add("--clock", choices=("wall", "cpu"), default="wall", help="time to measure (default: wall)")
    add("--data-root", type=Path, default=None, help="data root, the folder of data sets")
    arguments = parser.parse_args()
    if arguments.clock == "cpu" and any(arguments.workers):
        parser.error("--clock cpu measures this process alone, so it needs --workers 0")
    return arguments


def choose_data(root: Path | None) -> DataSpec:
    """Fashion-MNIST if it is available, else digits."""
    spec = DataSpec(dataset="fashion_mnist")
    try:
        inspect(spec, root)
    except DataError:
        return DataSpec(dataset="digits")
    return spec


def measure(contest: Contest, spec: DataSpec, arguments: argparse.Namespace, device: torch.device) -> list[str]:
    """Measure one network; return its row of the table."""
    train, validation = take_images(contest, spec, arguments.data_root)
    epochs: dict[str, Callable[[], None]] = {
        f"plain {workers}": plain_epoch(contest, train, arguments.batch_size, workers, device)
        for workers in arguments.workers
    }
    epochs["resident"] = resident_epoch(contest, train, arguments.batch_size, device)
    epochs["session"] = session_epoch(contest, train, validation, arguments, device)
    rates: dict[str, list[float]] = {name: [] for name in epochs}
    now_s = time.perf_counter if arguments.clock == "wall" else time.process_time
    for repetition in range(arguments.repetitions + 1):
        for name, epoch in epochs.items():
            started = now_s()
            epoch()
            if repetition:  # The first repetition is a warm-up.
                rates[name].append(len(train) / (now_s() - started))
    session, resident = rates.pop("session"), rates.pop("resident")
    best = max(rates, key=lambda name: median(rates[name]))
    gain, over_resident = median(session) / median(rates[best]), median(resident) / median(session)
    workers = best.removeprefix("plain ")
    shown = (spread(rates[best]), workers, spread(resident), spread(session), f"{gain:.2f}", f"{over_resident:.2f}")
    return [contest.architecture, str(len(train)), *shown]


def take_images(contest: Contest, spec: DataSpec, root: Path | None) -> tuple[TensorSplit, TensorSplit]:
    """Training images, repeated if the data set has fewer than the contest needs, and a few for validation."""
    splits = load(spec, root=root, channels=contest.channels, image_size=contest.image_size, seed=0)
    assert isinstance(splits.train, TensorSplit)
    assert isinstance(splits.validation, TensorSplit)
    return (
        chosen(splits.train, torch.arange(contest.images) % len(splits.train)),
        chosen(splits.validation, torch.arange(VALIDATION_SAMPLES)),
    )


def chosen(split: TensorSplit, indices: Tensor) -> TensorSplit:
    """The samples of ``split`` at ``indices``."""
    return replace(split, images=split.images[indices], labels=split.labels[indices])


def session_epoch(
    contest: Contest, train: TensorSplit, validation: TensorSplit, arguments: argparse.Namespace, device: torch.device
) -> Callable[[], None]:
    """A function that trains one epoch by ``TrainingSession``."""
    model = build(contest, train.classes)
    session = TrainingSession(
        model,
        TrainingData(train, validation, arguments.batch_size).on(device),
        TrainingSettings(
            Recipe(optimizer="adam", learning_rate=LEARNING_RATE), epochs=arguments.repetitions + 1, seed=0
        ),
        masks=_masks(model),
    )

    def epoch() -> None:
        session.step()

    return epoch


def resident_epoch(contest: Contest, train: TensorSplit, batch_size: int, device: torch.device) -> Callable[[], None]:
    """A function that runs one epoch forward and backward over batches that are ready, in the session's layout."""
    model = to_fast_layout(build(contest, train.classes).to(device), device).train()
    apply_masks(dict(model.named_parameters()), _masks(model))
    batches = list(train.on(device).batches(batch_size, device=device))

    def epoch() -> None:
        for images, labels in batches:
            model.zero_grad(set_to_none=True)
            torch.autograd.backward(F.cross_entropy(model(images), labels))

    return epoch


def _masks(model: nn.Module) -> Masks:
    scores = {name: parameter.detach().abs() for name, parameter in prunable_parameters(model).items()}
    live = live_total(sum(score.numel() for score in scores.values()), 0.99)
    return choose_masks(scores, live, distribution="global", granularity="weight")


class PilImages(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's data sets give them: a PIL image from an array in memory, then the transforms."""

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
    """A function that trains one epoch by a plain DataLoader loop."""
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
    """The contest's network."""
    return models.build(
        contest.architecture, channels=contest.channels, classes=classes, image_size=contest.image_size, seed=0
    )


def spread(rates: list[float]) -> str:
    """Median, and lowest to highest."""
    return f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def describe_machine(device: torch.device, spec: DataSpec, arguments: argparse.Namespace) -> str:
    """One line about the machine, the versions and the data."""
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return (
        f"{where}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}; {spec.dataset}, batches of {arguments.batch_size}, Adam."
    )


def processor_name() -> str:
    """Model name of the processor, or its architecture if the system does not give one."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
