"""A training step with two threads, by how a thread waits for the other: with its core kept busy, or asleep.

    python -m benchmarks.thread_waits --busy 4

Prints milliseconds a step (median of ``--repeats`` alternating child processes) beside ``--busy`` processes that want
the cores, too. OpenMP reads its variables when a process starts.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

STEP = """
import sys, time, torch
from safs.models import build

threads, network, size, steps = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
model = build(network, channels=1, classes=10, image_size=size, seed=0)
optimizer = torch.optim.Adam(model.parameters(), fused=True)
images, labels = torch.randn(64, 1, size, size), torch.randint(0, 10, (64,))

def step():
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()

for _ in range(3):
    step()
started = time.perf_counter()
for _ in range(steps):
    step()
print((time.perf_counter() - started) / steps)
"""
WAYS: dict[str, tuple[int, dict[str, str]]] = {
    "1 thread": (1, {}),
    "2 threads, busy": (2, {}),
    "2 threads, busy for 1000 spins": (2, {"GOMP_SPINCOUNT": "1000"}),
    "2 threads, asleep": (2, {"OMP_WAIT_POLICY": "PASSIVE"}),
}
SIZES = {"lenet5": 28, "resnet18": 32}


def _spin() -> None:
    while True:
        pass


@contextmanager
def _busy(count: int) -> Iterator[None]:
    processes = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()


def _seconds(way: str, network: str, steps: int) -> float:
    threads, given = WAYS[way]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", STEP, str(threads), network, str(SIZES[network]), str(steps)]
    return float(subprocess.run(command, env=environment | given, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=SIZES, default=["lenet5"])
    parser.add_argument("--busy", type=int, default=0, help="processes beside it that never wait")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with _busy(given.busy):
        for network in given.networks:
            runs = [{way: _seconds(way, network, given.steps) for way in WAYS} for _ in range(given.repeats)]
            for way in WAYS:
                print(f"{network:10} {way:31} {1e3 * median(run[way] for run in runs):8.1f} ms a step")


if __name__ == "__main__":
    main()
