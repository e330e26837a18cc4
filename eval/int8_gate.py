"""Choose the judged questions on the standard library that int8 is checked on.

Usage: python eval/int8_gate.py

Writes rerank_search/reranking/int8_gate.json: questions of eval/collections/python-docs, each
with judged names and their grades. Only names of modules that every program may import are used,
because their docstrings are read when int8 is used.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

from rerank_search.files import atomic_write_json
from rerank_search.reranking import int8_gate as gate

COLLECTION = Path(__file__).parent / "collections" / "python-docs"
MODULES = frozenset(
    # ruff: noqa: SIM905
    "argparse base64 bisect calendar collections configparser contextlib copy csv datetime decimal "
    "difflib enum fnmatch fractions functools glob hashlib heapq inspect io itertools json logging "
    "math operator os pathlib queue random re shutil statistics string struct subprocess tempfile "
    "textwrap threading time traceback types typing urllib zipfile".split(" ")
)
NAMES = 8
"""Smallest number of names of a question."""


def main() -> None:
    """Choose, and write."""
    texts = {}
    for line in (COLLECTION / "queries.jsonl").read_text(encoding="utf-8").splitlines():
        query = json.loads(line)
        texts[query["_id"]] = query["text"]
    judged: dict[str, dict[str, int]] = {name: {} for name in texts}
    with (COLLECTION / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            name = row["corpus-id"]
            if name.partition(".")[0] in MODULES and gate.text_of(name):
                judged[row["query-id"]][name] = int(row["score"])
    fit = [
        query for query, names in judged.items() if len(names) >= NAMES and max(names.values()) > 0
    ]
    chosen = {texts[query]: judged[query] for query in fit}
    atomic_write_json(gate.QUESTIONS, chosen)
    print(f"{len(chosen)} questions, {sum(map(len, chosen.values()))} names: {gate.QUESTIONS}")


if __name__ == "__main__":
    main()
