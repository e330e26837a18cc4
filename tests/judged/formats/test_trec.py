from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.judged.formats.trec import load_trec, read_topics
from rerank_search.types import Document

QRELS = "301 0 d1 2\n301 0 d2 -1\n302 0 d2 1\n"
TOPICS = """
<top>
<num> Number: 301
<title> Topic: International
 Organized Crime

<desc> Description:
Identify organizations.
<narr> Narrative: a < b.
</top>
<top> <num> Number: 302 </num> <title>Poliomyelitis</title> </top>
"""


def written(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_separate_files_make_a_collection(tmp_path: Path) -> None:
    collection = load_trec(
        written(tmp_path / "qrels.robust.txt", QRELS),
        topics=written(tmp_path / "topics.txt", TOPICS),
        documents=written(tmp_path / "docs.tsv", "id\ttext\nd1\tCrime.\nd2\tPolio.\n"),
        runs={"bm25": written(tmp_path / "bm25.run", "301 Q0 d1 1 2 t\n302 Q0 d2 1 2 t\n")},
        name="robust",
    )
    assert (collection.name, collection.split) == ("robust", "qrels.robust")
    assert collection.qrels == {"301": {"d1": 2, "d2": -1}, "302": {"d2": 1}}
    assert collection.queries == {"301": "International Organized Crime", "302": "Poliomyelitis"}
    assert collection.documents is not None
    assert list(collection.documents()) == [Document("d1", "Crime."), Document("d2", "Polio.")]
    assert collection.runs == {"bm25": {"301": {"d1": 2.0}, "302": {"d2": 2.0}}}
    assert collection.located("302", "d2") == "qrels.robust.txt, line 3"
    assert list(collection.findings) == []


def test_qrels_and_a_run_are_enough_and_no_text_is_missed(tmp_path: Path) -> None:
    qrels = tmp_path / "test.qrels.gz"
    qrels.write_bytes(gzip.compress(QRELS.replace(" ", "\t").encode()))
    run = written(tmp_path / "bm25.run", "301 Q0 d1 1 2 t\n302 Q0 d2 1 2 t\n")
    collection = load_trec(qrels, topics=None, documents=None, runs={"bm25": run}, name="x")
    assert collection.documents is None
    assert collection.queries == {}
    assert (collection.split, list(collection.findings)) == ("test", [])


def test_topics_may_be_two_columns(tmp_path: Path) -> None:
    topics = written(tmp_path / "topics.tsv", "301\torganized crime\n302\tpolio\ttoday\n")
    assert read_topics(topics) == {"301": "organized crime", "302": "polio\ttoday"}


def test_only_the_fields_of_topics_end_a_field(tmp_path: Path) -> None:
    content = "<top>\n<NUM> 1\n<title> sort a vector<int> in <b>C++</b>\n<desc> Now.\n</top>\n"
    topics = written(tmp_path / "topics.txt", content)
    assert read_topics(topics) == {"1": "sort a vector<int> in <b>C++</b>"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "has no topics"),
        ("301 organized crime\n", "line 1: expected a query id and its text"),
        ("301\ta\n302\tb\n301\tc\n", "line 3: the topic number '301' is a duplicate"),
        ("<top>\n<title> crime\n</top>\n", "line 1: the topic that begins here has no <num>"),
        (TOPICS + "<top>\n<num> 303\n</top>\n", r"line 12: the topic .* has no <title>"),
        (TOPICS + "<top>\n<num> 303\n<title> x\n", r"line 12: the topic .* has no </top>"),
        (TOPICS + TOPICS, r"line 13: the topic number '301' is a duplicate"),
    ],
)
def test_faulty_topics_are_named(tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        read_topics(written(tmp_path / "topics.txt", content))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "has no judgements"),
        ("301 d1 1\n", "line 1: 3 columns, but TREC's qrels have four"),
        ("301 0 d1 high\n", "line 1: the grade 'high' is not an integer"),
        ("301 0 d1 1\n301 0 d1 0\n", "line 2: grade 0 of .* as in line 1, which has the grade 1"),
    ],
)
def test_faulty_qrels_are_named(tmp_path: Path, content: str, problem: str) -> None:
    qrels = written(tmp_path / "qrels.txt", content)
    with pytest.raises(InvalidInputError, match=problem):
        load_trec(qrels, topics=None, documents=None, runs={}, name="x")


def test_topics_of_other_queries_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="none of the 2 judged queries has a text"):
        load_trec(
            written(tmp_path / "qrels.txt", QRELS),
            topics=written(tmp_path / "topics.tsv", "1\tcrime\n"),
            documents=None,
            runs={},
            name="x",
        )
