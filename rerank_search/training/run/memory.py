"""Makes the C library keep memory that a training step freed, for the next step."""

from __future__ import annotations

import ctypes
import platform

# Of glibc's malloc.h: parameters of mallopt.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3

_LARGEST_BLOCK = 32 * 2**20
"""Bytes of the largest block that comes from the heap; glibc allows no more."""


def keep_freed_memory() -> None:
    """Serve large blocks from the heap, and keep up to 2 GiB of it that is free.

    By itself glibc fetches blocks of some hundred kilobytes anew from the system at each step,
    which clears their pages. It is a setting of the whole process, for a command that trains and
    ends. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 2**28)
