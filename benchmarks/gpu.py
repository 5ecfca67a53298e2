"""Trials per hour on one GPU, by how many share it, and how near a training comes to the best possible step rate.

    python -m benchmarks.gpu                          lenet5 and resnet18, 1 to 16 trials at once, six ways to train
    python -m benchmarks.gpu --networks lenet5 --counts 1 4
    python -m benchmarks.gpu --device cpu --quick     every line of this program, in seconds; its figures mean nothing

Each trial at once is a process of its own, as in the service. The way ``session`` is the product's
``TrainingSession``: fp32, masks applied after every step, and two batches scored an epoch. The others are a loop of
this program around the product's network and masks, which shows what bf16 autocast, channels-last and torch.compile
would bring; the product has none of them yet. Images are noise, of Fashion-MNIST's and CIFAR's shapes, in the GPU's
memory, as the product keeps a data set that fits.

The best possible step is the same step on a batch that lies ready: as a captured CUDA graph, without Python; on the CPU
as a bare loop. Ends with exit code 2 where the device is not there: then nothing was measured.
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
from safs.spec.job import Recipe
from safs.training.session import TrainingSession
from workers.on_ray.gpu_probe import synthetic_context

SPARSITY, LEARNING_RATE, WARM_UP_STEPS = 0.99, 1e-3, 5
NOT_MEASURED = 2


@dataclass(frozen=True, slots=True)
class Way:
    """How to train; ``session`` is the product's own way."""

    name: str
    session: bool = False
    bf16: bool = False
    channels_last: bool = False
    compiled: bool = False


WAYS = (
    Way("session", session=True),
    Way("loop"),
    Way("bf16", bf16=True),
    Way("channels-last", channels_last=True),
    Way("compile", compiled=True),
    Way("all three", bf16=True, channels_last=True, compiled=True),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is trained, and for how long it is timed."""

    blueprint: Blueprint
    trial_images: int
    """Images of a trial, over all its epochs."""
    batch_size: int
    steps: int
    device: str
    backend: str
    """Of torch.compile."""


Epoch = Callable[[], object]
"""Trains the setting's steps, and returns when the device has done them."""


def main(given: Sequence[str] | None = None) -> int:
    """Measures what was asked for and prints it as markdown; returns the exit code."""
    arguments = _arguments(given)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("Not measured: there is no GPU here. `--device cpu --quick` tries the program out on the CPU.")
        return NOT_MEASURED
    print(_machine(arguments.device), flush=True)
    with _crew(max(arguments.counts)) as crew:
        for name in arguments.networks:
            _packing(_setting(name, arguments), arguments, crew)
            _best(_setting(name, arguments), arguments, crew[0])
    return 0


def _packing(setting: Setting, arguments: argparse.Namespace, crew: Sequence[Connection]) -> None:
    """The table of trials per hour."""
    print(
        f"\n{setting.blueprint.architecture}: trials of {setting.trial_images:,} images per hour, by trials at once\n"
    )
    print(f"| way | {' | '.join(map(str, arguments.counts))} |\n|---|{'---|' * len(arguments.counts)}")
    for way in _ways(arguments):
        cells = [_cell(setting, _rates(crew[:count], setting, way)) for count in arguments.counts]
        print(f"| {way.name} | {' | '.join(cells)} |", flush=True)


def _best(setting: Setting, arguments: argparse.Namespace, worker: Connection) -> None:
    """The table of step rates of a single training beside the best possible."""
    print(f"\n{setting.blueprint.architecture}: steps per second of one training, batches of {setting.batch_size}\n")
    print("| way | as it trains | best possible | share |\n|---|---|---|---|")
    for way in _ways(arguments):
        trained, possible = _rates([worker], setting, way), _rates([worker], setting, way, best=True)
        if isinstance(trained, str) or isinstance(possible, str):
            print(f"| {way.name} | {trained} | {possible} | |", flush=True)
        else:
            print(f"| {way.name} | {trained:.1f} | {possible:.1f} | {trained / possible:.2f} |", flush=True)


def _cell(setting: Setting, rate: float | str) -> str:
    return rate if isinstance(rate, str) else f"{3600 * rate * setting.batch_size / setting.trial_images:,.1f}"


def _rates(workers: Sequence[Connection], setting: Setting, way: Way, *, best: bool = False) -> float | str:
    """Steps per second of all these workers together, training at once; or why there is no figure."""
    for worker in workers:
        worker.send((setting, way, best))
    failed = [answer for worker in workers if (answer := worker.recv()) != "ready"]
    for worker in workers:
        worker.send(not failed)
    if failed:
        return str(failed[0])
    seconds = [worker.recv() for worker in workers]
    return len(workers) * setting.steps / max(seconds)


@contextmanager
def _crew(size: int) -> Iterator[list[Connection]]:
    """So many processes that wait for what to train, and their ends of the line."""
    context = multiprocessing.get_context("spawn")
    lines = [context.Pipe() for _ in range(size)]
    processes = [context.Process(target=_work, args=(theirs,), daemon=True) for _, theirs in lines]
    for process in processes:
        process.start()
    try:
        yield [ours for ours, _ in lines]
    finally:
        for process, (ours, theirs) in zip(processes, lines, strict=True):
            ours.close()
            theirs.close()
            process.terminate()
            process.join()
            process.close()


def _work(line: Connection) -> None:
    """A process of the crew: prepares what it is told, says so, and when told to go times one epoch."""
    torch.set_num_threads(1)
    while True:
        try:
            setting, way, best = line.recv()
        except EOFError:
            return
        try:
            epoch = best_epoch(setting, way) if best else trained_epoch(setting, way)
            epoch()
            line.send("ready")
        except torch.OutOfMemoryError:
            line.send("out of memory")
        if line.recv():
            started = time.perf_counter()
            epoch()
            line.send(time.perf_counter() - started)
        epoch = None
        if setting.device == "cuda":
            torch.cuda.empty_cache()


def trained_epoch(setting: Setting, way: Way) -> Epoch:
    """An epoch as a training does it, its batches gathered from a shuffled split."""
    device = torch.device(setting.device)
    context = _context(setting)
    if way.session:
        session = TrainingSession(
            _model(setting),
            context.train,
            context.validation,
            recipe=Recipe(optimizer="adam", learning_rate=LEARNING_RATE),
            epochs=1_000_000,
            batch_size=setting.batch_size,
            seed=0,
            device=device,
            masks=context.masks,
        )
        return session.step
    step = make_step(_model(setting).to(device), context.masks or {}, setting, way)
    generator = torch.Generator().manual_seed(0)
    train = context.train.on(device)

    def epoch() -> None:
        for images, labels in train.batches(setting.batch_size, device=device, generator=generator):
            step(images, labels)
        _wait(setting)

    return epoch


def best_epoch(setting: Setting, way: Way) -> Epoch:
    """The same steps with nothing between them: one batch, no gathering, on a GPU no Python either."""
    device = torch.device(setting.device)
    context = _context(setting)
    step = make_step(_model(setting).to(device), context.masks or {}, setting, replace(way, session=False))
    images, labels = next(context.train.on(device).batches(setting.batch_size, device=device))
    if setting.device == "cuda":
        step = _captured(step, images, labels)

    def epoch() -> None:
        for _ in range(setting.steps):
            step(images, labels)
        _wait(setting)

    return epoch


def make_step(model: nn.Module, masks: Masks, setting: Setting, way: Way) -> Callable[[Tensor, Tensor], None]:
    """One step of Adam, masks applied after it, that never waits for the device."""
    cuda = setting.device == "cuda"
    if way.channels_last:
        model = model.to(memory_format=torch.channels_last)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    masks = {name: mask.to(setting.device) for name, mask in masks.items()}
    apply_masks(parameters, masks)
    masked = [parameters[name].detach() for name in masks]
    kept = [mask.to(parameters[name].dtype) for name, mask in masks.items()]
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, capturable=cuda)
    forward = torch.compile(model, backend=setting.backend) if way.compiled else model
    model.train()

    def step(images: Tensor, labels: Tensor) -> None:
        if way.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        # A cache of cast weights would outlive the step, which a CUDA graph must not read from.
        with torch.autocast(setting.device, torch.bfloat16, enabled=way.bf16, cache_enabled=False):
            loss = F.cross_entropy(forward(images), labels)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(masked, kept)

    return step


def _captured(step: Callable[[Tensor, Tensor], None], images: Tensor, labels: Tensor) -> Callable[..., None]:
    """The step as a CUDA graph, which replays on the batch that it was captured with."""
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
    """Noise and masks; the training split has the setting's steps."""
    context = synthetic_context(setting.blueprint, setting.batch_size, SPARSITY)
    assert isinstance(context.train, TensorSplit)
    images = torch.tensor([index for index, _ in zip(cycle(range(len(context.train))), range(_images(setting)))])
    train = replace(context.train, images=context.train.images[images], labels=context.train.labels[images])
    return replace(context, train=train)


def _images(setting: Setting) -> int:
    return setting.steps * setting.batch_size


def _model(setting: Setting) -> nn.Module:
    """The product's network, surgery included."""
    return rewire(setting.blueprint.build(seed=0), {})


def _wait(setting: Setting) -> None:
    if setting.device == "cuda":
        torch.cuda.synchronize()


def _setting(name: str, arguments: argparse.Namespace) -> Setting:
    """LeNet-5 on Fashion-MNIST's 60,000 images, resnet18 in its CIFAR form on 50,000."""
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


def _ways(arguments: argparse.Namespace) -> list[Way]:
    return [way for way in WAYS if way.name in arguments.ways]


def _machine(device: str) -> str:
    where = torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} (no GPU is used)"
    return f"{where}, Python {platform.python_version()}, torch {torch.__version__}"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [way.name for way in WAYS]
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--networks", nargs="+", choices=("lenet5", "resnet18"), default=["lenet5", "resnet18"])
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 2, 4, 8, 16], help="trials at once")
    parser.add_argument("--ways", nargs="+", choices=names, default=names)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=400, help="that are timed, after as many that are not")
    parser.add_argument("--epochs", type=int, default=8, help="of a trial (default: 8)")
    parser.add_argument("--backend", default="inductor", help="of torch.compile (default: inductor)")
    parser.add_argument("--quick", action="store_true", help="2 steps of 2 images, 1 and 2 at once, nothing compiled")
    arguments = parser.parse_args(given)
    if arguments.quick:
        arguments.steps, arguments.batch_size, arguments.counts, arguments.backend = 2, 2, [1, 2], "eager"
    return arguments


if __name__ == "__main__":
    sys.exit(main())
