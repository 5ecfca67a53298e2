"""Trials per hour on one GPU by the number of concurrent trials, and the share of the best possible step rate.

    python -m benchmarks.gpu                          lenet5 and resnet18, 1 to 16 concurrent trials, six modes
    python -m benchmarks.gpu --networks lenet5 --counts 1 4
    python -m benchmarks.gpu --device cpu --quick     runs all code in seconds; the figures mean nothing

Each concurrent trial is a process, as in the service. The mode ``session`` is the service's ``TrainingSession``: fp32,
masks applied after every step, two batches evaluated in each epoch. The other modes are a loop of this program with
the same network and masks, and show what bf16 autocast, channels-last and torch.compile would gain; the service uses
none of them yet. Images are noise of the shapes of Fashion-MNIST and CIFAR, in the GPU's memory, where the service
keeps a data set that fits.

The best possible step is the same step on one prepared batch: a captured CUDA graph without Python, or a bare loop on
the CPU. Exits with code 2 if there is no GPU; then nothing is measured.
"""

import argparse
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safs.activations.surgery import rewire
from safs.data import TensorSplit
from safs.networks import Blueprint
from safs.pruning.masks import Masks, apply_masks
from safs.spec.training import Recipe
from safs.training.session import TrainingSession
from safs.training.settings import TrainingSettings
from workers.on_ray.gpu_probe import synthetic_context

SPARSITY, LEARNING_RATE, WARM_UP_STEPS = 0.99, 1e-3, 5
NOT_MEASURED = 2


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode of training; ``session`` is the one that the service uses."""

    name: str
    session: bool = False
    bf16: bool = False
    channels_last: bool = False
    compiled: bool = False


MODES = (
    Mode("session", session=True),
    Mode("loop"),
    Mode("bf16", bf16=True),
    Mode("channels-last", channels_last=True),
    Mode("compile", compiled=True),
    Mode("all three", bf16=True, channels_last=True, compiled=True),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """The network and batches of a measurement, and its number of steps."""

    blueprint: Blueprint
    trial_images: int
    """Number of images in all epochs of a trial."""
    batch_size: int
    steps: int
    """Number of timed steps."""
    device: str
    backend: str
    """Backend of torch.compile."""


Epoch = Callable[[], object]
"""Runs the steps of a setting, and returns when the device has finished them."""


def main(given: Sequence[str] | None = None) -> int:
    """Run the requested measurements and print them as Markdown; return the exit code."""
    arguments = _arguments(given)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("Not measured: no GPU is available. `--device cpu --quick` runs this program on the CPU.")
        return NOT_MEASURED
    print(_machine(arguments.device), flush=True)
    with _workers(max(arguments.counts)) as workers:
        for name in arguments.networks:
            _print_trials_per_hour(_setting(name, arguments), arguments, workers)
            _print_step_rates(_setting(name, arguments), arguments, workers[0])
    return 0


def _print_trials_per_hour(setting: Setting, arguments: argparse.Namespace, workers: Sequence[Connection]) -> None:
    """Print the table of trials per hour by the number of concurrent trials."""
    print(
        f"\n{setting.blueprint.architecture}: trials of {setting.trial_images:,} images per hour, "
        "by concurrent trials\n"
    )
    print(f"| mode | {' | '.join(map(str, arguments.counts))} |\n|---|{'---|' * len(arguments.counts)}")
    for mode in _modes(arguments):
        cells = [_cell(setting, _rates(workers[:count], setting, mode)) for count in arguments.counts]
        print(f"| {mode.name} | {' | '.join(cells)} |", flush=True)


def _print_step_rates(setting: Setting, arguments: argparse.Namespace, worker: Connection) -> None:
    """Print the table of the step rates of one training and the best possible ones."""
    print(f"\n{setting.blueprint.architecture}: steps per second of one training, batches of {setting.batch_size}\n")
    print("| mode | measured | best possible | share |\n|---|---|---|---|")
    for mode in _modes(arguments):
        trained, possible = _rates([worker], setting, mode), _rates([worker], setting, mode, best=True)
        if isinstance(trained, str) or isinstance(possible, str):
            print(f"| {mode.name} | {trained} | {possible} | |", flush=True)
        else:
            print(f"| {mode.name} | {trained:.1f} | {possible:.1f} | {trained / possible:.2f} |", flush=True)


def _cell(setting: Setting, rate: float | str) -> str:
    return rate if isinstance(rate, str) else f"{3600 * rate * setting.batch_size / setting.trial_images:,.1f}"


def _rates(workers: Sequence[Connection], setting: Setting, mode: Mode, *, best: bool = False) -> float | str:
    """Total steps per second of concurrent workers; the reason if there is no figure."""
    for worker in workers:
        worker.send((setting, mode, best))
    failed = [answer for worker in workers if (answer := worker.recv()) != "ready"]
    for worker in workers:
        worker.send(not failed)
    if failed:
        return str(failed[0])
    seconds = [worker.recv() for worker in workers]
    return len(workers) * setting.steps / max(seconds)


@contextmanager
def _workers(count: int) -> Iterator[list[Connection]]:
    """Start ``count`` worker processes, and yield the connections to them."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(count)]
    processes = [context.Process(target=_work, args=(theirs,), daemon=True) for _, theirs in pipes]
    for process in processes:
        process.start()
    try:
        yield [ours for ours, _ in pipes]
    finally:
        for process, (ours, theirs) in zip(processes, pipes, strict=True):
            ours.close()
            theirs.close()
            process.terminate()
            process.join()
            process.close()


def _work(connection: Connection) -> None:
    """Run a worker process: prepare the received setting, report ready, and time one epoch when told to start."""
    torch.set_num_threads(1)
    while True:
        try:
            setting, mode, best = connection.recv()
        except EOFError:
            return
        try:
            epoch = best_epoch(setting, mode) if best else trained_epoch(setting, mode)
            epoch()
            connection.send("ready")
        except torch.OutOfMemoryError:
            connection.send("out of memory")
        if connection.recv():
            started = time.perf_counter()
            epoch()
            connection.send(time.perf_counter() - started)
        epoch = None
        if setting.device == "cuda":
            torch.cuda.empty_cache()


def trained_epoch(setting: Setting, mode: Mode) -> Epoch:
    """An epoch of training, with batches gathered from a shuffled split."""
    device = torch.device(setting.device)
    context = _context(setting)
    if mode.session:
        session = TrainingSession(
            _model(setting),
            context.data.on(device),
            TrainingSettings(Recipe(optimizer="adam", learning_rate=LEARNING_RATE), epochs=1_000_000, seed=0),
            masks=context.masks,
        )
        return session.step
    step = make_step(_model(setting).to(device), context.masks or {}, setting, mode)
    generator = torch.Generator().manual_seed(0)
    train = context.data.train.on(device)

    def epoch() -> None:
        for images, labels in train.batches(setting.batch_size, device=device, generator=generator):
            step(images, labels)
        _wait(setting)

    return epoch


def best_epoch(setting: Setting, mode: Mode) -> Epoch:
    """The same number of steps on one batch, without gathering; on a GPU without Python."""
    device = torch.device(setting.device)
    context = _context(setting)
    step = make_step(_model(setting).to(device), context.masks or {}, setting, replace(mode, session=False))
    images, labels = next(context.data.train.on(device).batches(setting.batch_size, device=device))
    if setting.device == "cuda":
        step = _captured(step, images, labels)

    def epoch() -> None:
        for _ in range(setting.steps):
            step(images, labels)
        _wait(setting)

    return epoch


def make_step(model: nn.Module, masks: Masks, setting: Setting, mode: Mode) -> Callable[[Tensor, Tensor], None]:
    """A step of Adam that applies the masks and never waits for the device."""
    cuda = setting.device == "cuda"
    if mode.channels_last:
        model = model.to(memory_format=torch.channels_last)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    masks = {name: mask.to(setting.device) for name, mask in masks.items()}
    apply_masks(parameters, masks)
    masked = [parameters[name].detach() for name in masks]
    kept = [mask.to(parameters[name].dtype) for name, mask in masks.items()]
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, capturable=cuda)
    forward = torch.compile(model, backend=setting.backend) if mode.compiled else model
    model.train()

    def step(images: Tensor, labels: Tensor) -> None:
        if mode.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        # A cache of cast weights would outlive the step, and a CUDA graph must not read from it.
        with torch.autocast(setting.device, torch.bfloat16, enabled=mode.bf16, cache_enabled=False):
            loss = F.cross_entropy(forward(images), labels)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(masked, kept)

    return step


def _captured(step: Callable[[Tensor, Tensor], None], images: Tensor, labels: Tensor) -> Callable[..., None]:
    """Capture the step as a CUDA graph, which replays on the captured batch."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_STEPS):
            step(images, labels)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(images, labels)
    return lambda *batch: graph.replay()


def _context(setting: Setting) -> Any:
    """A context of noise and masks, whose training split has as many batches as the setting has steps."""
    context = synthetic_context(setting.blueprint, setting.batch_size, SPARSITY)
    train = context.data.train
    assert isinstance(train, TensorSplit)
    images = torch.tensor([index for index, _ in zip(cycle(range(len(train))), range(_images(setting)))])
    repeated = replace(train, images=train.images[images], labels=train.labels[images])
    return replace(context, data=replace(context.data, train=repeated))


def _images(setting: Setting) -> int:
    return setting.steps * setting.batch_size


def _model(setting: Setting) -> nn.Module:
    """The network that the service trains, rewired."""
    return rewire(setting.blueprint.build(seed=0), {})


def _wait(setting: Setting) -> None:
    if setting.device == "cuda":
        torch.cuda.synchronize()


def _setting(name: str, arguments: argparse.Namespace) -> Setting:
    """The setting of LeNet-5 with 60,000 images as in Fashion-MNIST, or of resnet18 with 50,000 as in CIFAR."""
    blueprint, images = {
        "lenet5": (Blueprint("lenet5", 1, 28, 10), 60_000),
        "resnet18": (Blueprint("resnet18", 3, 32, 10), 50_000),
    }[name]
    return Setting(
        blueprint,
        images * arguments.epochs,
        arguments.batch_size,
        arguments.steps,
        arguments.device,
        arguments.backend,
    )


def _modes(arguments: argparse.Namespace) -> list[Mode]:
    return [mode for mode in MODES if mode.name in arguments.modes]


def _machine(device: str) -> str:
    where = torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} (without a GPU)"
    return f"{where}, Python {platform.python_version()}, torch {torch.__version__}"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [mode.name for mode in MODES]
    networks, add = ("lenet5", "resnet18"), parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda", help="device (default: cuda)")
    add("--networks", nargs="+", choices=networks, default=networks, help="networks (default: both)")
    add("--counts", nargs="+", type=int, default=[1, 2, 4, 8, 16], help="concurrent trials (default: 1 2 4 8 16)")
    add("--modes", nargs="+", choices=names, default=names, help="modes of training (default: all)")
    add("--batch-size", type=int, default=128, help="images in a batch (default: 128)")
    add("--steps", type=int, default=400, help="timed steps, after as many steps of warm-up (default: 400)")
    add("--epochs", type=int, default=8, help="epochs of a trial (default: 8)")
    add("--backend", default="inductor", help="backend of torch.compile (default: inductor)")
    add("--quick", action="store_true", help="time 2 steps of 2 images with 1 and 2 trials, without a compiler")
    arguments = parser.parse_args(given)
    if arguments.quick:
        arguments.steps, arguments.batch_size, arguments.counts, arguments.backend = 2, 2, [1, 2], "eager"
    return arguments


if __name__ == "__main__":
    sys.exit(main())
