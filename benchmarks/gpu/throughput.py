"""Trials an hour on one GPU: trained as one, and packed as processes, beside the prediction of the probe."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch

from benchmarks.gpu.problems import NETWORKS, Size, problem, trials, wait
from safs.execution.stacked import StackedRun
from safs.execution.training import TrainingRun
from workers.on_ray.gpu_probe import CudaMeter, Meter, Probe, measure

IMAGES = 60_000
"""Images of an epoch of a trial, as in MNIST."""
EPOCHS = 8
"""Epochs of a trial, as in the preset ``balanced``."""
START_S = 120
"""Longest wait for a process to start, in seconds."""


def stacked(network: str, count: int, size: Size, device: str) -> float:
    """Trials an hour that ``count`` trials make as one."""
    context = problem(network, size, device)
    run = StackedRun(context, trials(context.blueprint, count, 3), device)
    run.advance(0.0)
    if run.reason is not None or run.halved:
        raise RuntimeError(run.reason or "out of memory")
    wait(device)
    began = time.perf_counter()
    run.advance(0.0)
    wait(device)
    return _trials_per_hour(count, size, time.perf_counter() - began)


def packed(network: str, count: int, size: Size, device: str) -> float:
    """Trials an hour that ``count`` processes make, each with one trial."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(count)]
    processes = [
        context.Process(target=_work, args=(theirs, network, size, device), daemon=True) for _, theirs in pipes
    ]
    for process in processes:
        process.start()
    try:
        for ours, _ in pipes:
            if not ours.poll(START_S):
                raise RuntimeError("a process did not start")
            ours.recv()
        for ours, _ in pipes:
            ours.send("go")
        seconds = [ours.recv() for ours, _ in pipes]
    finally:
        for process, pair in zip(processes, pipes, strict=True):
            process.terminate()
            process.join()
            process.close()
            for end in pair:
                end.close()
    return _trials_per_hour(count, size, max(seconds))


def probed(network: str, size: Size, device: str, meter: Meter, sizes: tuple[int, ...]) -> Probe:
    """The probe that decides on the number of trials on a GPU, as jobs have it."""
    context = problem(network, size, device)
    training = trials(context.blueprint, 1, 3)[0]
    return measure(context, training, device, meter, sizes)


def describe(probe: Probe, size: Size, cores: int) -> dict[str, object]:
    """The result of the probe, and the trials an hour that follow from it."""
    from workers.on_ray.capacity import pack  # imports ray, which a machine with a GPU may lack

    processes = round(1 / pack(probe, cores=cores))
    stack = probe.best_stack(processes)
    alone = _trials_per_hour(1, size, probe.epoch_s)
    chosen = alone * processes if stack == 1 else _trials_per_hour(stack, size, probe.stacked_epoch_s[stack])
    return {
        "busy": round(probe.busy, 3),
        "GiB": round(probe.memory_bytes / 2**30, 2),
        "processes": processes,
        "stack": stack,
        "trials an hour": round(chosen, 1),
    }


def meter_of(device: str) -> Meter:
    """The meter of the device."""
    return CudaMeter() if device == "cuda" else _HostMeter()


def measurements(network: str, counts: tuple[int, ...], size: Size, device: str) -> dict[str, Callable[[], float]]:
    """Name -> measurement of trials an hour, the stacks first."""
    assert network in NETWORKS
    found: dict[str, Callable[[], float]] = {}
    for count in counts:
        found[f"{network}, {count} as one"] = lambda count=count: stacked(network, count, size, device)
    for count in counts:
        if count <= 16:
            found[f"{network}, {count} processes"] = lambda count=count: packed(network, count, size, device)
    return found


def _trials_per_hour(count: int, size: Size, epoch_s: float) -> float:
    step_s = epoch_s / size.steps
    return 3600 * count / (step_s * EPOCHS * IMAGES / size.batch)


def _work(connection: Connection, network: str, size: Size, device: str) -> None:
    """Run a process: prepare a trial, report ready, and time an epoch when told to start."""
    torch.set_num_threads(1)
    context = problem(network, size, device)
    run = TrainingRun(context, trials(context.blueprint, 1, 3)[0], device)
    run.advance(0.0)
    wait(device)
    connection.send("ready")
    connection.recv()
    began = time.perf_counter()
    run.advance(0.0)
    wait(device)
    connection.send(time.perf_counter() - began)


class _HostMeter:
    """Stands for a GPU on a machine without one: its figures mean nothing."""

    def wait(self) -> None:
        pass

    def kernel_s(self, work: Callable[[], object]) -> float:
        work()
        return 1e-3

    def memory_bytes(self) -> int:
        return 2**30

    def gpu_bytes(self) -> int:
        return 16 * 2**30
