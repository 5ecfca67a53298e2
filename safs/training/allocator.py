"""Memory of a process that trains on the CPU: blocks that one step frees are kept for the next step.

glibc takes every block above 32 MB from the system and gives it back when it is freed, and gives back what is free at
the end of its heap. The system clears each page of a new block, which takes longer than most operations on it.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``."""
LARGEST_BLOCK_BYTES = 2**30
"""Larger blocks are still taken from the system, and given back."""
MOST_FREE_BYTES = 2**31 - 1
"""Free bytes at the end of the heap from which they are given back."""


def keep_freed_memory() -> bool:
    """Have this process keep the memory that it frees, until ``give_back_memory``.

    Returns:
        False where the C library has no such setting; nothing is changed then.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl, macOS
        return False
    return bool(mallopt(_MMAP_THRESHOLD, LARGEST_BLOCK_BYTES) and mallopt(_TRIM_THRESHOLD, MOST_FREE_BYTES))


def give_back_memory() -> None:
    """Give freed memory back to the system."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return
