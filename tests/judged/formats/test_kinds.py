from __future__ import annotations

import json
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.judged.formats.kinds import kind_of

SAMPLE = json.dumps({"query": "q", "positive": "a", "documents": ["a"]}) + "\n"
PAIR = json.dumps({"text1": "a", "text2": "b", "label": 1}) + "\n"


def test_a_folder_with_qrels_is_beir(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    assert kind_of(tmp_path) == "beir"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.jsonl", SAMPLE, "samples"),
        ("a.jsonl", PAIR, "pairs"),
        ("a.csv", "sentence1,sentence2,label\na,b,1\n", "pairs"),
        ("a.tsv", "sentence_0\tsentence_1\tlabel\na\tb\t1\n", "pairs"),
    ],
)
def test_a_file_is_known_by_its_first_record(
    tmp_path: Path, name: str, content: str, kind: str
) -> None:
    (tmp_path / name).write_text(content)
    assert kind_of(tmp_path / name) == kind


def test_a_folder_of_pairs_is_pairs(tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").write_text(PAIR)
    (tmp_path / "README.md").write_text("Pairs.")
    assert kind_of(tmp_path) == "pairs"


@pytest.mark.parametrize("content", ["", "one,two,label\na,b,1\n"])
def test_a_file_that_is_no_pairs_does_not_stop_the_others(tmp_path: Path, content: str) -> None:
    (tmp_path / "dev.csv").write_text(content)
    with pytest.raises(InvalidInputError, match=r"dev\.csv"):
        kind_of(tmp_path)
    (tmp_path / "test.jsonl").write_text(PAIR)
    assert kind_of(tmp_path) == "pairs"


def test_a_folder_of_samples_asks_for_the_file(tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").write_text(SAMPLE)
    with pytest.raises(InvalidInputError, match=r"give one of the files: dev\.jsonl"):
        kind_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", "", r"a\.jsonl is empty: give a BEIR folder"),
        (
            "a.jsonl",
            '{"id": "d1", "text": "x"}\n',
            r"line 1: .* neither samples .* columns are id, te",
        ),
        ("a.trec", "q Q0 d 1 1 t\n", "the name does not show the format"),
        ("b.jsonl", "", "a.jsonl does not exist"),
    ],
)
def test_what_is_none_of_them_is_said(
    tmp_path: Path, name: str, content: str, problem: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInputError, match=problem):
        kind_of(tmp_path / name.replace("b.", "a."))


@pytest.mark.parametrize("name", ["queries.jsonl", "corpus.jsonl.gz", "corpus.toml"])
def test_a_beir_folder_without_judgements_is_told_what_it_lacks(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    problem = rf"has {name}, .* no folder qrels/: .* into qrels/SPLIT\.tsv \(query-id, corpus-id"
    with pytest.raises(InvalidInputError, match=problem):
        kind_of(tmp_path)


def test_a_header_is_placed_on_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("one,two,label\na,b,1\n")
    with pytest.raises(
        InvalidInputError, match=r"a\.csv, line 1: .* neither .* are one, two, label"
    ):
        kind_of(tmp_path / "a.csv")


def test_a_folder_without_any_of_them_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="has no collection in it"):
        kind_of(tmp_path)
