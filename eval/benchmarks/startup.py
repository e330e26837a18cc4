"""The cost of a cold start: CPU seconds of new processes, by command.

Usage: python eval/benchmarks/startup.py [--rounds 5]

Writes eval/results/startup.md and .json. Each command runs unchanged, and with models loaded
through sentence-transformers, like any model that is not a plain BERT, in turn. The first run of
each is left out: it may compile modules and export a model.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from report import table, write

from rerank_search import Document, Index

PLAIN = "from rerank_search.cli.main import main; main()"
THROUGH = f"""
import rerank_search.models.bert_folder as folder
folder.read_classifier = folder.read_encoder = lambda *_: None
{PLAIN}
"""
SEARCH = ("search", "small", "how do I join two paths")
COMMANDS = {
    "search, torch": (SEARCH, {"RERANK_SEARCH_BACKEND": "torch"}, True),
    "search, the fastest backend": (SEARCH, {}, True),
    "search, first stage alone": ((*SEARCH, "--no-rerank"), {}, True),
    "search, BM25 alone": ((*SEARCH, "--no-rerank", "--first-stage", "bm25"), {}, False),
    "search of an empty index": (("search", "empty", "how do I join two paths"), {}, False),
    "search, a filter that allows nothing": ((*SEARCH, "--filter", "year=1"), {}, False),
    "index info": (("index", "info", "small"), {}, False),
    "index list": (("index", "list"), {}, False),
    "index verify": (("index", "verify", "small"), {}, True),
    "--help": (("--help",), {}, False),
}
"""Arguments, settings, and whether a model is loaded."""


def cpu_seconds(code: str, arguments: tuple[str, ...], folder: Path, settings: dict) -> float:
    """User and system time of a new process, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "RERANK_SEARCH_CACHE": str(folder / "cache"), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        Index.create(folder / "indexes/empty").close()
        with Index.create(folder / "indexes/small") as index:
            index.add([Document(str(i), f"note {i} on joining paths") for i in range(5)])
        measured = {}
        for name, (arguments, settings, loads) in COMMANDS.items():
            sides = [PLAIN, THROUGH] if loads else [PLAIN]
            spent: dict[str, list[float]] = {code: [] for code in sides}
            for _ in range(rounds + 1):
                for code in sides:
                    spent[code].append(cpu_seconds(code, arguments, folder, settings))
            measured[name] = [statistics.median(spent[code][1:]) for code in sides]
    rows = [[name, *found, *([""] if len(found) == 1 else [])] for name, found in measured.items()]
    sections = {
        "What is measured": (
            f"CPU seconds (user and system) of new processes, medians of {rounds}. The index has "
            "five notes and the package's encoder; the reranker is rerank-search-base. Models "
            "other than a plain BERT are loaded *through sentence-transformers*; this column is "
            "empty if no model is loaded."
        ),
        "By command": table(["command", "CPU s", "through sentence-transformers"], rows),
    }
    data = {"cpu_seconds": measured, "rounds": rounds}
    print(json.dumps(data))
    print(write("startup", "What a cold start costs", "make bench", sections, data))


if __name__ == "__main__":
    main()
