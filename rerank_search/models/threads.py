"""The number of threads that models compute with, at most the cores of this process."""

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
"""The CPU quota of a container on Linux: microseconds of each period, or "max"."""


def limit_threads() -> None:
    """Make torch compute with ``RERANK_SEARCH_THREADS`` threads.

    Without that variable torch keeps its own number, but no more than ``available_cores``: more
    threads would only wait for each other. Torch has one number for the whole process. In a process
    forked from one that had loaded torch, it is 1.
    """
    import torch

    wanted = Settings().threads or min(torch.get_num_threads(), available_cores())
    if _inherited:
        wanted = 1
    if wanted != torch.get_num_threads():
        torch.set_num_threads(wanted)


_inherited = False
"""Whether torch was loaded when this process was forked."""


def _alone_in_child() -> None:
    """Make OpenMP start no threads in a forked process.

    It would wait for the parent's threads at the first product that it divides among threads.
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
    """A maker of contexts in which torch uses only the thread that enters them.

    None if torch cannot be limited so: it has to compute with OpenMP and MKL.
    """
    import torch
    from threadpoolctl import ThreadpoolController

    set_mkl = _set_mkl()
    if set_mkl is None:
        return None
    openmp = ThreadpoolController().select(user_api="openmp")

    @contextmanager
    def alone() -> Iterator[None]:
        torch.get_num_threads()  # the first call in a thread sets both numbers
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
    """``mkl_set_num_threads_local`` of the MKL inside torch, which other libraries do not use.

    It sets the calling thread's number and returns the previous one; 0 means the number of the
    process. None if there is no such function.
    """
    import torch

    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        found: Callable[[int], int] = library.MKL_Set_Num_Threads_Local
    except (OSError, AttributeError):
        return None
    return found


def available_cores(quota: Path = _QUOTA) -> int:
    """Cores that this process may use, by its affinity and its container's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS and Windows
        cores = os.cpu_count() or 1
    try:
        allowed, period = quota.read_text(encoding="ascii").split()
        return max(1, min(cores, math.ceil(int(allowed) / int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return cores
