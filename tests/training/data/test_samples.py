from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.judged.findings import Finding
from rerank_search.training.data.samples import load_samples_set
from rerank_search.training.recipe.sources import Source


def jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_a_sample_has_its_positives_and_then_the_others_without_them(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "train.jsonl",
        {"query": "q", "positive": ["p", "r"], "documents": ["n", "p", "n"]},
        {"query": "s", "positive": "t", "negative": ["u"]},
    )
    first, second = load_samples_set(Source(samples=path), seed=1).groups
    assert (first.documents, first.labels) == (["p", "r", "n"], [1.0, 1.0, 0.0])
    assert (second.documents, second.labels) == (["t", "u"], [1.0, 0.0])
    assert second.places == ["line 2", "line 2"]


def test_samples_may_bring_their_labels_and_begin_with_settings(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "mined.jsonl",
        {"settings": {"seed": 1}},
        {"query": "q", "positive": ["p"], "negative": ["n", "m"], "labels": [9, 2.5, -1]},
        {"query": "r", "positive": [], "negative": []},
    )
    read = load_samples_set(Source(samples=path), seed=1)
    assert [(g.documents, g.labels) for g in read.groups] == [(["p", "n", "m"], [9.0, 2.5, -1.0])]
    assert read.findings == [
        Finding("samples without any text to train on, left out", 1, "mined.jsonl, line 3")
    ]


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"query": "q", "positive": "p", "negative": ["n"], "documents": []}, "either negative"),
        ({"query": "q", "positive": "p", "negative": ["p"]}, "'p' is both positive and negative"),
        ({"query": "q", "positive": "p", "negative": "n"}, "'negative' is not a list of texts"),
        ({"query": "q", "positive": "p", "negative": ["n"], "labels": [1]}, r"\(here 2\)"),
        (
            {"query": "q", "positive": "p", "documents": ["n"], "labels": [1, 0]},
            "and needs 'negative'",
        ),
        ({"query": "q", "positive": "p", "negative": [], "labels": ["x"]}, "not a finite number"),
        ({"query": "q", "positive": "p", "negative": [], "labels": [math.nan]}, "not a finite"),
    ],
)
def test_a_malformed_sample_is_named(tmp_path: Path, record: object, problem: str) -> None:
    path = jsonl(tmp_path / "train.jsonl", record)
    with pytest.raises(InvalidInputError, match=rf"line 1: .*{problem}"):
        load_samples_set(Source(samples=path), seed=1)


def test_a_folder_of_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is a folder: give a JSONL file"):
        load_samples_set(Source(samples=tmp_path), seed=1)


def test_queries_are_drawn_by_seed_and_keep_their_order(tmp_path: Path) -> None:
    records = [{"query": f"q{i:02}", "positive": "p", "negative": ["n"]} for i in range(40)]
    path = jsonl(tmp_path / "train.jsonl", *records)

    def queries(seed: int, count: int | None) -> list[str]:
        read = load_samples_set(Source(samples=path, queries=count), seed)
        return [group.query for group in read.groups]

    some = queries(1, 10)
    assert len(some) == 10
    assert some == sorted(some) == queries(1, 10)
    assert some != queries(2, 10)
    assert queries(1, None) == queries(1, 99) == [f"q{i:02}" for i in range(40)]
    assert queries(1, 0) == []
