"""How many threads models compute with: no more than this process has cores to itself."""

from __future__ import annotations

import math
import os
from pathlib import Path

from rerank_search.settings import Settings

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Of a container on Linux: microseconds of each period, or "max"."""


def limit_threads() -> None:
    """Have torch compute with ``RERANK_SEARCH_THREADS`` threads.

    Without it, with as many as it takes by itself, but no more than ``available_cores``: more
    would only wait for each other. It is the whole process's number, as torch has one.
    """
    import torch

    wanted = Settings().threads or min(torch.get_num_threads(), available_cores())
    if wanted != torch.get_num_threads():
        torch.set_num_threads(wanted)


def available_cores(quota: Path = _QUOTA) -> int:
    """Cores that this process may run on: by its affinity, and by its container's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS and Windows
        cores = os.cpu_count() or 1
    try:
        allowed, period = quota.read_text(encoding="ascii").split()
        return max(1, min(cores, math.ceil(int(allowed) / int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return cores
