from __future__ import annotations

import gzip
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_search.errors import InvalidInputError
from rerank_search.judged.formats.runs import located_in_run, read_run, run_lines

WORDS = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=6)
SCORES = st.floats(allow_nan=False, allow_infinity=False)


def test_a_run_is_read_by_its_scores(tmp_path: Path) -> None:
    file = tmp_path / "run.trec"
    file.write_text("q1 Q0 d2 1 0.5 tag\nq1\tQ0\td1\t2\t1e-3\ttag\n\nq2 Q0 d1 1 -7 tag\n")
    assert read_run(file) == {"q1": {"d2": 0.5, "d1": 0.001}, "q2": {"d1": -7.0}}


def test_a_run_may_be_gzipped(tmp_path: Path) -> None:
    file = tmp_path / "run.trec.gz"
    file.write_bytes(gzip.compress(b"q1 Q0 d1 1 0.5 tag\n"))
    assert read_run(file) == {"q1": {"d1": 0.5}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty"),
        ("q1 Q0 d1 1 0.5\n", "line 1: 5 columns, but a run has six"),
        ("q1 Q0 d1 1 0.5 my tag\n", "line 1: 7 columns"),
        ("q1 Q0 d1 1 nan tag\n", "line 1: the score 'nan' is not a finite number"),
        ("q1 Q0 d1 1 -inf tag\n", "line 1: the score '-inf' is not a finite number"),
        ("q1 Q0 d1 1 high tag\n", "line 1: the score 'high' is not a finite number"),
        (
            "q1 Q0 d\0a 1 2 tag\n",
            r"run\.trec, line 1: the document id 'd.x00a' contains a control cha",
        ),
        (
            "q1 Q0 d1 1 2 t\nq\x1b Q0 d1 1 2 t\n",
            "line 2: the query id 'q.x1b' contains a control cha",
        ),
        ("q1 Q0 d1 1 2 t\nq2 Q0 d1 1 2 t\nq1 Q0 d1 2 1 t\n", "line 3: document 'd1' is ranked twi"),
    ],
)
def test_what_cannot_be_ranked_is_named(tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "run.trec"
    file.write_text(content)
    with pytest.raises(InvalidInputError, match=problem):
        read_run(file)


def test_a_result_is_located_by_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "run.trec"
    file.write_text("q1 Q0 d1 1 2 t\n\nq2 Q0 d2 1 2 t\nq2 Q0 d1 2 1 t\n")
    assert located_in_run(file, "q2", "d1") == "run.trec, line 4"
    with pytest.raises(InvalidInputError, match=r"run\.trec does not rank 'd2' for 'q1'"):
        located_in_run(file, "q1", "d2")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"run\.trec cannot be read"):
        read_run(tmp_path / "run.trec")


def test_a_run_is_written_as_trec_has_it() -> None:
    lines = list(run_lines("q1", [("d2", 0.5), ("d1", -1)], "bm25@100"))
    assert lines == ["q1 Q0 d2 1 0.5 bm25@100\n", "q1 Q0 d1 2 -1.0 bm25@100\n"]


@settings(deadline=None, max_examples=30)
@given(run=st.dictionaries(WORDS, st.dictionaries(WORDS, SCORES, min_size=1), min_size=1))
def test_a_written_run_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, run: dict[str, dict[str, float]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "written.trec"
    lines = (line for query, of in run.items() for line in run_lines(query, [*of.items()], "tag"))
    file.write_text("".join(lines), encoding="utf-8", newline="")
    assert read_run(file) == run


@pytest.mark.parametrize(
    ("query", "document", "score", "tag"),
    [
        ("q 1", "d1", 1.0, "tag"),
        ("q1", "d\u00a01", 1.0, "tag"),
        ("q1", "", 1.0, "tag"),
        ("q1", "d\x001", 1.0, "tag"),
        ("q1", "d1", 1.0, "my tag"),
        ("q1", "d1", math.nan, "tag"),
        ("q1", "d1", math.inf, "tag"),
    ],
)
def test_what_trec_cannot_express_is_refused(
    query: str, document: str, score: float, tag: str
) -> None:
    with pytest.raises(InvalidInputError, match=r"white space|cannot be ranked"):
        list(run_lines(query, [(document, score)], tag))
