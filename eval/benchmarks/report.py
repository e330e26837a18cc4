"""Writes the report of a benchmark: tables, with the machine, the versions and the date."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search.evaluation.report.markdown_table import markdown_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).parent.parent / "results"
PACKAGES = ("torch", "sentence-transformers", "faiss-cpu", "tantivy", "bm25s", "rank-bm25", "numpy")


def environment() -> dict[str, Any]:
    """The machine and the versions that a figure holds for."""
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    units = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"{names[0] if names else platform.machine()} ({', '.join(units)})"


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers are shown with three significant digits."""
    shown = [[_shown(cell) for cell in row] for row in rows]
    return markdown_table(headers, shown, words=len(headers))


def _shown(cell: object) -> str:
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"


def save(figure: Figure, name: str) -> None:
    """Write ``eval/results/NAME.svg``, the same for the same figures."""
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None})


def write(name: str, title: str, command: str, sections: Mapping[str, str], data: Any) -> Path:
    """Write ``eval/results/NAME.md`` and ``NAME.json``; returns the Markdown file's path."""
    facts = environment()
    parts = [f"# {title}", f"Written by `{command}`."]
    for heading, body in sections.items():
        parts += [f"## {heading}", body]
    parts += ["## Machine", table(["what", "value"], list(facts.items()))]
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    (RESULTS / f"{name}.json").write_text(
        json.dumps({"environment": facts, "results": data}, indent=2) + "\n", encoding="utf-8"
    )
    return path
