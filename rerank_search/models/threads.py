"""How many threads models compute with: no more than this process has cores to itself."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rerank_search.settings import Settings

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Of a container on Linux: microseconds of each period, or "max"."""


def limit_threads() -> None:
    """Have torch compute with ``RERANK_SEARCH_THREADS`` threads.

    Without it, with as many as it takes by itself, but no more than ``available_cores``: more
    would only wait for each other. It is the whole process's number, as torch has one. In a process
    that was forked off one with torch in it, it is 1.
    """
    import torch

    wanted = Settings().threads or min(torch.get_num_threads(), available_cores())
    if _inherited:
        wanted = 1
    if wanted != torch.get_num_threads():
        torch.set_num_threads(wanted)


_inherited = False
"""Whether torch was there when this process was forked off another."""


def _alone_in_child() -> None:
    """Have OpenMP start no threads in a forked process.

    At the first product that it shares out, it would wait for the threads of the parent.
    """
    global _inherited
    if torch := sys.modules.get("torch"):
        _inherited = True
        torch.set_num_threads(1)
    if faiss := sys.modules.get("faiss"):
        faiss.omp_set_num_threads(1)


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_alone_in_child)


def one_thread() -> Callable[[], AbstractContextManager[None]] | None:
    """Makes contexts in which torch takes no thread but the one that enters it.

    None where torch cannot be held to that: it has to compute with OpenMP and MKL.
    """
    import torch
    from threadpoolctl import ThreadpoolController

    set_mkl = _set_mkl()
    if set_mkl is None:
        return None
    openmp = ThreadpoolController().select(user_api="openmp")

    @contextmanager
    def alone() -> Iterator[None]:
        torch.get_num_threads()  # in a thread that is new to torch, it sets both numbers
        before = 0
        try:
            before = set_mkl(1)
            with openmp.limit(limits=1):
                yield
        finally:
            set_mkl(before)

    with alone():
        return alone if torch.get_num_threads() == 1 else None


def _set_mkl() -> Callable[[int], int] | None:
    """``mkl_set_num_threads_local`` of the MKL in torch, which no other library knows of.

    It sets the calling thread's number, and returns the one before; 0 is that of the process. None
    where there is no such function.
    """
    import torch

    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        found: Callable[[int], int] = library.MKL_Set_Num_Threads_Local
    except (OSError, AttributeError):
        return None
    return found


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
