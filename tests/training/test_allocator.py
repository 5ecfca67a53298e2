"""Freed memory is kept between the steps of a training, and given back after it."""

import subprocess
import sys

import pytest

from safs.training import allocator
from safs.training.allocator import give_back_memory, keep_freed_memory

PROBE = """
import torch
from safs.training.allocator import give_back_memory, keep_freed_memory

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

def grown_by_200_mb():
    blocks = [torch.ones(10_000_000) for _ in range(5)]  # 40 MB each
    assert resident_mb() > before + 190
    del blocks
    return resident_mb() - before

before = resident_mb()
default = grown_by_200_mb()
assert keep_freed_memory()
kept = grown_by_200_mb()
give_back_memory()
print(default < 50, kept > 150, resident_mb() - before < 50)
"""


def test_freed_blocks_are_kept_and_then_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)

    assert done.stdout == "True True True\n"


def test_a_c_library_without_the_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())

    assert not keep_freed_memory()
    give_back_memory()
