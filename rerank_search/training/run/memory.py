"""Makes the C library keep the memory that a training step freed, for the next step."""

from __future__ import annotations

import ctypes
import platform

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3

_LARGEST_BLOCK = 32 * 2**20
"""Size in bytes of the largest block from the heap, the most that glibc allows."""


def keep_freed_memory() -> None:
    """Serve large blocks from the heap, and keep up to 2 GiB of free memory.

    By default glibc gets blocks of some hundred kilobytes from the system again at each step, which
    clears their pages. This sets the whole process, for a command that trains and ends. Other C
    libraries are left unchanged.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 2**28)
