"""A folder in memory for the files of tests, where a machine has one.

Tests make files durable some ten thousand times, and a disk takes milliseconds for each. No test
cuts the power, so they show the same in memory.
"""

from __future__ import annotations

import os
import shutil

FOLDER = "/dev/shm"
ENOUGH = 4 * 2**30
"""Bytes; the tests of all processes need less than half of it."""


def usable() -> bool:
    """Whether the folder is there, has room, and lets programs run from it."""
    return (
        os.access(FOLDER, os.W_OK | os.X_OK)
        and shutil.disk_usage(FOLDER).free >= ENOUGH
        and not os.statvfs(FOLDER).f_flag & os.ST_NOEXEC
    )
