"""Measure how fast the service trains on a GPU, in one run of a few minutes.

    python -m benchmarks.gpu --minutes 8              on a GPU
    python -m benchmarks.gpu --device cpu --tiny      runs all code on the CPU; the figures mean nothing

In this order: the path check (every method, operator, schedule and optimizer, and a stack beside trials alone); steps a
second of lenet5, mlp and resnet18; trials an hour of 1, 4, 16 and 64 trials as one and of packed processes; the probe
beside them; the paper's own experiment. It stops at its limit with what it has. Results are in ``--out`` after each
measurement, and one table is printed at the end. Exits with code 2 if there is no GPU; then nothing is measured.
"""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu import paper, paths, rates, throughput
from benchmarks.gpu.problems import NETWORKS, Size
from benchmarks.gpu.sheet import Sheet
from safs.training.numerics import compute_repeatably
from workers.on_ray.gpu_probe import STACKS, Probe

NOT_MEASURED = 2


def main(given: Sequence[str] | None = None) -> int:
    """Run all parts and print the table; return the exit code."""
    arguments = _arguments(given)
    device = arguments.device
    if device == "cuda" and not torch.cuda.is_available():
        print("Not measured: no GPU is available. `--device cpu --tiny` runs this program on the CPU.")
        return NOT_MEASURED
    compute_repeatably(device)
    size, small = (Size(8, 2), Size(8, 2)) if arguments.tiny else (Size(256, 100), Size(32, 8))
    counts: tuple[int, ...] = (1, 2) if arguments.tiny else (1, 4, 16, 64)
    sheet = Sheet(arguments.out, 60 * arguments.minutes, _machine(device))
    parts = arguments.parts
    if "paths" in parts:
        for name, check in paths.checks(small, device).items():
            sheet.measure("path", name, check)
    if "rates" in parts:
        for network in arguments.networks:
            for name, rate in rates.rates(network, size, device).items():
                sheet.measure("rate", f"{network}, {name}", rate, "steps/s")
    if "throughput" in parts:
        for network in arguments.networks:
            for name, throughput_of in throughput.measurements(network, counts, size, device).items():
                sheet.measure("throughput", name, throughput_of, "trials/h")
            _probe(sheet, network, size, device, counts)
    if "paper" in parts:
        epochs = 2 if arguments.tiny else paper.EPOCHS
        sheet.measure("paper", "42 trials", lambda: paper.seconds_of_a_seed(size, device, lambda: sheet.left_s, epochs))
    print(sheet.table())
    return 0


def _probe(sheet: Sheet, network: str, size: Size, device: str, counts: tuple[int, ...]) -> None:
    cores = os.cpu_count() or 1
    stacks = counts[1:] if len(counts) == 2 else STACKS

    def found() -> dict[str, object]:
        probe: Probe = throughput.probed(network, size, device, throughput.meter_of(device), stacks)
        return throughput.describe(probe, size, cores)

    sheet.measure("probe", network, found)


def _machine(device: str) -> str:
    where = torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} (without a GPU)"
    return f"{where}, Python {platform.python_version()}, torch {torch.__version__}"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add, parts = parser.add_argument, ("paths", "rates", "throughput", "paper")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="device (default: cuda)")
    add("--minutes", type=float, default=8.0, help="limit; no measurement begins after it (default: 8)")
    add("--out", type=Path, default=Path("gpu.json"), help="file of the results (default: gpu.json)")
    add("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="networks (default: all)")
    add("--parts", nargs="+", choices=parts, default=parts, help="parts (default: all)")
    add("--tiny", action="store_true", help="batches of 8 images and 2 steps an epoch, to test the program")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
