"""A collection of twenty short texts, as a BEIR folder."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

NOUNS = ["river", "bridge", "tower", "garden", "bread"]
NOUNS += ["cheese", "kitchen", "winter", "train", "station"]
COLOURS = ("red", "green")


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents about a coloured noun; each of the twenty queries asks for one of them."""
    folder = tmp_path_factory.mktemp("data") / "colours"
    (folder / "qrels").mkdir(parents=True)
    things = [(colour, noun) for colour in COLOURS for noun in NOUNS]
    with gzip.open(folder / "corpus.jsonl.gz", "wt", encoding="utf-8") as corpus:
        for i, (colour, noun) in enumerate(things):
            text = (
                f"The {noun} by the sea is {colour}. It is not small and it is not new. Snow fell."
            )
            corpus.write(json.dumps({"_id": f"d{i}", "title": noun, "text": text}) + "\n")
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as queries:
        for i, (colour, noun) in enumerate(things):
            queries.write(json.dumps({"_id": f"q{i}", "text": f"which {noun} is {colour}"}) + "\n")
    rows = [f"q{i}\td{i}\t1" for i in range(len(things))]
    lines = ["query-id\tcorpus-id\tscore", *rows, "q0\tgone\t1", "q0\td1\t0"]
    (folder / "qrels" / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that the smallest model learns: what is relevant says "answer"."""
    folder = tmp_path_factory.mktemp("data") / "answers"
    (folder / "qrels").mkdir(parents=True)
    kinds = [(noun, kind) for noun in NOUNS for kind in ("answer", "snow")]
    texts = [{"_id": f"d{i}", "text": f"the {n} is the {k}"} for i, (n, k) in enumerate(kinds)]
    queries = [{"_id": noun, "text": f"which {noun}"} for noun in NOUNS]
    for name, rows in (("corpus", texts), ("queries", queries)):
        lines = [json.dumps(row) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [f"{q}\td{i}\t1" for q in NOUNS for i, (_, kind) in enumerate(kinds) if kind != "snow"]
    (folder / "qrels" / "train.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder
