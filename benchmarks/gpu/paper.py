"""The trials of the paper's own experiment: LeNet-5 at 99% sparsity, 42 trials of 80 epochs on 60,000 images."""

import time
from collections.abc import Callable

from benchmarks.gpu.problems import Size, problem, trials, wait
from safs.execution.stacked import StackedRun

TRIALS, EPOCHS, IMAGES = 42, 80, 60_000


def seconds_of_a_seed(size: Size, device: str, left_s: Callable[[], float], epochs: int = EPOCHS) -> dict[str, object]:
    """Train the 42 trials as one until they are done or a third of the time is left; seconds of the whole by the rate.

    Images are noise of MNIST's size on the device; the validation split is a few batches.
    """
    context = problem(
        "lenet5", Size(size.batch, max(1, IMAGES // size.batch) if device == "cuda" else size.steps), device
    )
    steps = -(-len(context.data.train) // size.batch)
    run = StackedRun(context, trials(context.blueprint, TRIALS, epochs), device)
    began, allowed_s = time.perf_counter(), left_s() * 2 / 3
    done = 0
    while not run.finished and time.perf_counter() - began < allowed_s:
        done = max([done, *(metrics.epoch for _, metrics in run.advance(0.0))])
    wait(device)
    if run.reason is not None:
        raise RuntimeError(run.reason)
    spent_s = time.perf_counter() - began
    whole = spent_s / max(done, 1) * EPOCHS * (IMAGES / (steps * size.batch))
    return {"epochs done": done, "seconds spent": round(spent_s, 1), "seconds of a seed": round(whole, 1)}
