"""The versions, the machine and the rerankers of a run, for its report."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "rerank-search",
    "sentence-transformers",
    "transformers",
    "torch",
    "faiss-cpu",
    "tantivy",
    "bm25s",
    "numpy",
    "ir-measures",
    "pytrec-eval-terrier",
)


def environment(rerankers: Iterable[str]) -> Mapping[str, str]:
    """Versions, the processor, and the descriptions of the rerankers, by name."""
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "rerankers": ", ".join(rerankers) or "none",
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
