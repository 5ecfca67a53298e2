"""Seconds of a pass over pictures in files: ``python -m benchmarks.passes``.

Small JPEG files are decoded in this process, in processes that are started for each pass, and in processes that are
kept from pass to pass, as trainings keep them. Each row has the first pass and the median of the others.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from PIL import Image

from safs.data.decoders import Decoders
from safs.data.file_split import FileSplit


def main() -> None:
    """Print a row for each way to decode."""
    parser = argparse.ArgumentParser(description="Seconds of a pass over pictures in files.")
    parser.add_argument("--files", type=int, default=256, help="number of files (default: 256)")
    parser.add_argument("--size", type=int, default=64, help="pixels a side (default: 64)")
    parser.add_argument("--workers", type=int, default=2, help="decoding processes (default: 2)")
    parser.add_argument("--passes", type=int, default=5, help="passes after the first (default: 5)")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="safs-passes-") as folder:
        files = write_pictures(Path(folder), arguments.files, arguments.size)
        kept = Decoders()
        ways: dict[str, Callable[[], FileSplit]] = {
            "in this process": lambda: split(files, arguments.size, 0, kept),
            "in processes of each pass": lambda: split(files, arguments.size, arguments.workers, Decoders()),
            "in processes that are kept": lambda: split(files, arguments.size, arguments.workers, kept),
        }
        print("| decoded | first pass, s | others, s |\n|---|---|---|")
        for name, make in ways.items():
            first, *others = (timed(make()) for _ in range(arguments.passes + 1))
            print(f"| {name} | {first:.2f} | {median(others):.2f} |", flush=True)


def write_pictures(folder: Path, count: int, size: int) -> tuple[str, ...]:
    """Write pictures of noise; return their paths."""
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        pixels = torch.randint(256, (size, size, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(folder / f"{number}.jpg")
    return tuple(str(folder / f"{number}.jpg") for number in range(count))


def split(files: tuple[str, ...], size: int, workers: int, decoders: Decoders) -> FileSplit:
    """A split of the files, all of one class."""
    labels, half = torch.zeros(len(files), dtype=torch.int64), torch.full((3,), 127.5)
    return FileSplit(files, labels, half, half, 1, 3, size, crop_and_flip=False, workers=workers, decoders=decoders)


def timed(pictures: FileSplit) -> float:
    """Seconds of a pass in batches of 64."""
    began_s = time.perf_counter()
    for _ in pictures.batches(64, device=torch.device("cpu")):
        pass
    return time.perf_counter() - began_s


if __name__ == "__main__":
    main()
