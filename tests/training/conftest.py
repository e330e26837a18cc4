"""Small training data: collections of short texts as BEIR folders, and labelled pairs."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

NOUNS = ["river", "bridge", "tower", "garden", "bread"]
NOUNS += ["cheese", "kitchen", "winter", "train", "station"]
COLOURS = ("red", "green")


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of documents about a coloured noun; each of 20 queries asks for one of them."""
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
    """A collection that the smallest model can learn: relevant documents contain "answer"."""
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


@pytest.fixture
def pairs_recipe(tmp_path: Path, tiny_reranker: Path) -> Path:
    """Pairs labelled by whether they have the same noun: 240 for training, 60 to evaluate."""
    return write_pairs_recipe(tmp_path, tiny_reranker)


@pytest.fixture
def unmeasured_recipe(tmp_path: Path, tiny_reranker: Path) -> Path:
    """The same without an evaluation, whose report takes longer than a few steps of training."""
    path = write_pairs_recipe(tmp_path, tiny_reranker)
    path.write_text(path.read_text().replace(EVALUATION, "").replace("eval_steps = 5\n", ""))
    return path


EVALUATION = """[evaluation]
measure = "average_precision"
[[evaluation.sets]]
name = "held"
pairs = "dev.csv"
"""


def write_pairs_recipe(folder: Path, base: Path) -> Path:
    """The recipe, and its pairs beside it."""
    rng = random.Random(5)
    for name, count in (("train", 240), ("dev", 60)):
        rows = ["text1,text2,label"]
        for i in range(count):
            noun, other = rng.sample(NOUNS, 2)
            colour = f"{rng.choice(COLOURS)} {name} {i}"
            rows.append(f"the {noun} is {colour},{noun if i % 2 else other} {colour},{i % 2}")
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = folder / "recipe.toml"
    path.write_text(
        f"""
name = "tiny"
base = {json.dumps(str(base))}
output = "model"
loss = "bce"
precision = "float32"
[[sources]]
pairs = "train.csv"
licence = "made here"
{EVALUATION}[arguments]
per_device_train_batch_size = 16
learning_rate = 1e-3
num_train_epochs = 2
eval_steps = 5
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a cache of its own."""
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))
