from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.findings import Finding
from rerank_search.judged.formats.beir import load_beir
from rerank_search.types import Document

SHARED = Path(__file__).parents[4] / "shared" / "data"
HEADER = "query-id\tcorpus-id\tscore\n"
CORPUS = '{"_id": "d1", "title": "Rivers", "text": "Water."}\n{"_id": "d2", "text": "Bread."}\n'
QUERIES = '{"_id": "q1", "text": "what is wet"}\n{"_id": "q2", "text": "what is baked"}\n'
QRELS = HEADER + "q1\td1\t2\nq1\td2\t0\nq2\td2\t1\n"


def beir(folder: Path, **files: str | None) -> Path:
    """A folder of two documents and two queries; ``files`` replaces contents, None removes one."""
    contents = {"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES, "qrels/test.tsv": QRELS}
    named = {"corpus": "corpus.jsonl", "queries": "queries.jsonl", "test": "qrels/test.tsv"}
    contents |= {named.get(name, f"qrels/{name}.tsv"): content for name, content in files.items()}
    (folder / "qrels").mkdir(parents=True)
    for name, content in contents.items():
        if content is not None:
            (folder / name).write_text(content, encoding="utf-8")
    return folder


def said(collection: JudgedCollection) -> list[str]:
    return [str(finding) for finding in collection.findings]


def streamed(collection: JudgedCollection) -> list[Document]:
    assert collection.documents is not None
    return list(collection.documents())


def test_a_folder_is_read_with_all_that_it_says(tmp_path: Path) -> None:
    collection = load_beir(beir(tmp_path / "tiny"), "test", relevant_from=2)
    assert (collection.name, collection.split) == ("tiny", "test")
    assert collection.queries == {"q1": "what is wet", "q2": "what is baked"}
    assert collection.qrels == {"q1": {"d1": 2, "d2": 0}, "q2": {"d2": 1}}
    assert streamed(collection) == [Document("d1", "Water.", "Rivers"), Document("d2", "Bread.")]
    assert streamed(collection) == streamed(collection)
    assert collection.relevant_from == 2


def test_a_folder_without_faults_has_no_findings(tmp_path: Path) -> None:
    assert said(load_beir(beir(tmp_path / "tiny"), "test")) == []


def test_every_file_may_be_gzipped(tmp_path: Path) -> None:
    plain = load_beir(beir(tmp_path / "plain"), "test")
    folder = beir(tmp_path / "packed")
    for file in (folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels" / "test.tsv"):
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    packed = load_beir(folder, "test")
    assert packed.queries == plain.queries
    assert packed.qrels == plain.qrels
    assert streamed(packed) == streamed(plain)
    assert packed.located("q2", "d2") == "qrels/test.tsv.gz, line 4"


def test_the_header_of_the_judgements_may_be_missing(tmp_path: Path) -> None:
    folder = beir(tmp_path / "tiny", test=QRELS.removeprefix(HEADER))
    assert load_beir(folder, "test").qrels == {"q1": {"d1": 2, "d2": 0}, "q2": {"d2": 1}}


def test_windows_line_ends_blank_lines_and_a_byte_order_mark_are_no_fault(tmp_path: Path) -> None:
    content = "\ufeff" + QRELS.replace("\n", "\r\n") + "\r\n"
    folder = beir(tmp_path / "tiny", test=content)
    assert load_beir(folder, "test").qrels == {"q1": {"d1": 2, "d2": 0}, "q2": {"d2": 1}}


def test_a_judgement_is_located_by_file_and_line(tmp_path: Path) -> None:
    collection = load_beir(beir(tmp_path / "tiny"), "test")
    assert collection.located("q2", "d2") == "qrels/test.tsv, line 4"


def test_the_corpus_may_be_an_index_definition(tmp_path: Path) -> None:
    folder = beir(tmp_path / "tiny", corpus=None)
    (folder / "a.jsonl").write_text('{"id": "d1", "text": "Water."}\n')
    (folder / "b.csv").write_text("id,text\nd2,Bread.\n")
    (folder / "corpus.toml").write_text('files = ["a.jsonl", "*.csv"]\n')
    collection = load_beir(folder, "test")
    assert streamed(collection) == [Document("d1", "Water."), Document("d2", "Bread.")]
    (folder / "b.csv").write_text("id,text\nd1,Bread.\n")
    with pytest.raises(InvalidInputError, match=r"a\.jsonl, line 1, .*b\.csv, line 2: duplicate"):
        streamed(load_beir(folder, "test"))


def test_a_negative_grade_is_kept_and_is_not_relevant(tmp_path: Path) -> None:
    collection = load_beir(beir(tmp_path / "tiny", test="q1\td1\t-2\nq2\td2\t1\n"), "test")
    assert collection.qrels["q1"] == {"d1": -2}
    assert said(collection) == [
        "1 judged queries without a document of grade 1 or more, which count 0 "
        "(first: qrels/test.tsv, line 1: query 'q1')"
    ]


def test_a_split_that_is_not_there_is_told_those_that_are(tmp_path: Path) -> None:
    folder = beir(tmp_path / "tiny", dev=QRELS)
    with pytest.raises(InvalidInputError, match=r"no split 'tset': it has dev, test; .* 'test'\?"):
        load_beir(folder, "tset")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"test": ""}, r"test\.tsv has no judgements"),
        ({"test": HEADER}, r"test\.tsv has no judgements"),
        (
            {"test": "qid\tdocid\trel\nq1\td1\t1\n"},
            r"line 1: qid, docid, rel is neither the header",
        ),
        ({"test": HEADER + "q1\td1\n"}, r"test\.tsv, line 2: expected .* 2 columns"),
        ({"test": HEADER + "q1 d1 1\n"}, r"test\.tsv, line 2: expected .* 1 columns"),
        ({"test": HEADER + "q1\td1\t1.5\n"}, r"line 2: the grade '1.5' is not an integer"),
        ({"test": HEADER + "q1\td1\tyes\n"}, r"line 2: the grade 'yes' is not an integer"),
        ({"test": HEADER + "q1\t\t1\n"}, r"line 2: an id is empty"),
        (
            {"test": QRELS + "q1\td1\t1\n"},
            r"line 5: grade 1 of .* as in line 2, which has the grade 2",
        ),
        (
            {"test": QRELS + "q1\ta\0x\t1\n"},
            r"test\.tsv, line 5: the document id 'a.x00x' contains a c",
        ),
        (
            {"test": QRELS + "q\x1f\td1\t1\n"},
            r"test\.tsv, line 5: the query id 'q.x1f' contains a con",
        ),
        ({"test": "q7\td1\t1\n"}, r"none of the 1 judged queries has a text"),
        ({"test": None}, r"has no qrels/SPLIT\.tsv"),
        ({"queries": None}, r"queries\.jsonl does not exist"),
        ({"queries": ""}, r"queries\.jsonl is empty"),
        ({"queries": QUERIES + "[1]\n"}, r"queries\.jsonl, line 3: not a JSON object"),
        (
            {"queries": QUERIES + QUERIES},
            r"queries\.jsonl, line 3: the query id 'q1' is a duplicate",
        ),
        ({"corpus": None}, r"neither corpus\.jsonl nor corpus\.toml"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, files: dict[str, str | None], problem: str
) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        load_beir(beir(tmp_path / "tiny", **files), "test")


@pytest.mark.parametrize(
    ("corpus", "problem"),
    [
        ("", r"corpus\.jsonl has no documents"),
        (CORPUS + CORPUS, r"corpus\.jsonl, line 1, .*corpus\.jsonl, line 3: duplicate .*'d1'"),
        (
            CORPUS + '{"_id": "d1\\u0001", "text": ""}\n',
            r"corpus\.jsonl, line 3: the document id 'd1.x01' contains a control character",
        ),
        (CORPUS + '{"_id": "d3"}\n', r"corpus\.jsonl, line 3: no 'text'\. Fix the line"),
    ],
)
def test_a_faulty_corpus_is_found_while_it_is_streamed(
    tmp_path: Path, corpus: str, problem: str
) -> None:
    collection = load_beir(beir(tmp_path / "tiny", corpus=corpus), "test")
    with pytest.raises(InvalidInputError, match=problem):
        streamed(collection)


def test_half_a_gzip_file_is_an_error(tmp_path: Path) -> None:
    folder = beir(tmp_path / "tiny", test=None)
    (folder / "qrels" / "test.tsv.gz").write_bytes(gzip.compress(QRELS.encode())[:-9])
    with pytest.raises(InvalidInputError, match=r"test\.tsv\.gz is not a complete gzip file"):
        load_beir(folder, "test")


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_file_that_is_there_plain_and_gzipped_is_an_error_that_names_both(
    tmp_path: Path, name: str
) -> None:
    folder = beir(tmp_path / "tiny")
    (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
    last = re.escape(Path(name).name)
    with pytest.raises(
        InvalidInputError, match=rf"has {last} and {last}\.gz: keep only one of them"
    ):
        load_beir(folder, "test")


def test_another_split_that_is_there_twice_does_not_stop_this_one(tmp_path: Path) -> None:
    folder = beir(tmp_path / "tiny", dev=QRELS)
    (folder / "qrels" / "dev.tsv.gz").write_bytes(gzip.compress(QRELS.encode()))
    assert said(load_beir(folder, "test")) == []


def test_bytes_that_are_not_utf8_are_an_error(tmp_path: Path) -> None:
    folder = beir(tmp_path / "tiny")
    (folder / "qrels" / "test.tsv").write_bytes(HEADER.encode() + b"q1\td\xe9\t1\n")
    with pytest.raises(InvalidInputError, match=r"test\.tsv, line 2: not UTF-8 \(byte 5\)"):
        load_beir(folder, "test")


@pytest.mark.parametrize("name", ["queries.jsonl", "qrels/test.tsv"])
def test_a_file_in_utf16_is_an_error_that_says_so(tmp_path: Path, name: str) -> None:
    folder = beir(tmp_path / "tiny")
    (folder / name).write_text((folder / name).read_text("utf-8"), "utf-16")
    with pytest.raises(InvalidInputError, match=f"{re.escape(name)} is not UTF-8 and looks like"):
        load_beir(folder, "test")


def test_a_relevance_threshold_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="relevant_from=0"):
        load_beir(beir(tmp_path / "tiny"), "test", relevant_from=0)


def test_a_repeated_judgement_is_counted_once_and_said(tmp_path: Path) -> None:
    collection = load_beir(beir(tmp_path / "tiny", test=QRELS + "q1\td1\t2\n"), "test")
    assert collection.qrels["q1"] == {"d1": 2, "d2": 0}
    assert said(collection) == [
        "1 repeated judgements "
        "(first: qrels/test.tsv, line 5: document 'd1' for query 'q1', as in line 2)"
    ]


def test_a_judged_query_without_text_stays_and_is_said(tmp_path: Path) -> None:
    folder = beir(
        tmp_path / "tiny",
        test=QRELS + "gone\td1\t1\nblank\td1\t1\n",
        queries=QUERIES + '{"_id": "blank", "text": " "}\n',
    )
    collection = load_beir(folder, "test")
    assert collection.qrels["gone"] == {"d1": 1}
    assert "blank" not in collection.queries
    assert list(collection.findings) == [
        Finding(
            "judged queries without a text, which count 0",
            2,
            "qrels/test.tsv, line 5: query 'gone'",
        )
    ]


def test_queries_of_another_split_are_no_finding(tmp_path: Path) -> None:
    folder = beir(tmp_path / "tiny", test="q1\td1\t1\n", dev="q2\td2\t1\n")
    assert said(load_beir(folder, "test")) == []


def test_queries_of_no_split_are_a_finding(tmp_path: Path) -> None:
    assert said(load_beir(beir(tmp_path / "tiny", test="q1\td1\t1\n"), "test")) == [
        "1 queries that no split judges, left out (first: queries.jsonl: query 'q2')"
    ]


def test_faults_of_another_split_do_not_matter(tmp_path: Path) -> None:
    folder = beir(tmp_path / "tiny", dev="q1\td1\tyes\n", train="")
    assert load_beir(folder, "test").qrels.keys() == {"q1", "q2"}


def test_another_split_that_cannot_be_read_is_said_and_does_not_stop_this_one(
    tmp_path: Path,
) -> None:
    folder = beir(tmp_path / "tiny", test="q1\td1\t1\n")
    (folder / "qrels" / "dev.tsv.gz").write_bytes(gzip.compress(QRELS.encode())[:-9])
    (folder / "qrels" / "old.tsv").write_bytes(b"q2\td1\t1\nq\xe9\td1\t1\n")
    collection = load_beir(folder, "test")
    assert collection.qrels == {"q1": {"d1": 1}}
    [finding] = collection.findings
    assert finding.what == "splits that cannot be read, whose queries count as unjudged"
    assert finding.count == 2
    assert "dev.tsv.gz is not a complete gzip file" in finding.first
    with pytest.raises(InvalidInputError, match=r"old\.tsv, line 2: not UTF-8"):
        load_beir(folder, "old")


def test_runs_come_along_by_name(tmp_path: Path) -> None:
    run = tmp_path / "bm25.trec"
    run.write_text("q1 Q0 d2 1 1.5 bm25\nq9 Q0 d1 1 1.0 bm25\n")
    collection = load_beir(beir(tmp_path / "tiny"), "test", runs={"mine": run})
    assert collection.runs == {"mine": {"q1": {"d2": 1.5}, "q9": {"d1": 1.0}}}
    assert said(collection) == [
        "1 judged queries without results in the run 'mine', which count 0 there "
        "(first: qrels/test.tsv, line 4: query 'q2')",
        "1 queries of the run 'mine' that are not judged here, left out "
        "(first: bm25.trec, line 2: query 'q9')",
    ]
    assert collection.located_in_run("mine", "q9", "d1") == "bm25.trec, line 2"


def test_excluded_documents_are_read_with_and_without_header(tmp_path: Path) -> None:
    file = tmp_path / "excluded.tsv"
    for header in ("", "query-id\tcorpus-id\n"):
        file.write_text(header + "q1\td2\tsource\nq1\td7\nq2\td1\n")
        collection = load_beir(beir(tmp_path / f"tiny{len(header)}"), "test", excluded=file)
        assert collection.excluded == {"q1": {"d2", "d7"}, "q2": {"d1"}}
        assert said(collection) == []


def test_odd_exclusions_are_said(tmp_path: Path) -> None:
    file = tmp_path / "excluded.tsv"
    file.write_text("q1\td1\nq9\td1\n")
    assert said(load_beir(beir(tmp_path / "tiny"), "test", excluded=file)) == [
        "1 queries with excluded documents that are not in the collection "
        "(first: excluded.tsv: query 'q9')",
        "1 excluded documents that are judged relevant, and so always missed "
        "(first: excluded.tsv: document 'd1' for query 'q1')",
    ]
    file.write_text("q1\n")
    with pytest.raises(InvalidInputError, match=r"excluded\.tsv, line 1: expected a query id"):
        load_beir(tmp_path / "tiny", "test", excluded=file)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the judged collections are not there")
def test_the_judged_collections_are_read_without_a_finding() -> None:
    folders = [folder for folder in sorted(SHARED.iterdir()) if (folder / "qrels").is_dir()]
    assert folders
    for folder in folders:
        for split in sorted(file.stem for file in (folder / "qrels").glob("*.tsv")):
            collection = load_beir(folder, split)
            assert said(collection) == [], f"{folder.name}/{split}"
            with (folder / "qrels" / f"{split}.tsv").open() as file:
                grades = Counter(line.split("\t")[2].strip() for line in list(file)[1:])
            read = Counter(
                str(grade) for judged in collection.qrels.values() for grade in judged.values()
            )
            assert read == grades


@pytest.mark.skipif(not SHARED.is_dir(), reason="the judged collections are not there")
def test_a_pooled_collection_has_its_runs_and_documents() -> None:
    folder = SHARED / "msmarco-dl19"
    runs = {name: folder / "candidates" / f"{name}.trec" for name in ("bm25", "splade")}
    collection = load_beir(folder, "test", relevant_from=2, runs=runs)
    ids = {document.id for document in streamed(collection)}
    assert all(
        {len(ranking) for ranking in run.values()} == {100} for run in collection.runs.values()
    )
    assert all(
        document in ids for run in collection.runs.values() for r in run.values() for document in r
    )
    assert said(collection) == []
