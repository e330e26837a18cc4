from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search import EncodedDocument, errors
from rerank_search.corpora.lines import VectorColumn
from rerank_search.corpora.readers import SkippedLines, count_documents, read_documents
from rerank_search.types import Document


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, **options: object) -> list[Document]:
    return list(read_documents(path, **options))


def test_beir_lines_become_documents(tmp_path: Path) -> None:
    file = write(tmp_path / "corpus.jsonl", '{"_id": "d1", "title": "A title", "text": "Words."}\n')
    assert read(file) == [Document("d1", "Words.", "A title")]


def test_a_beir_line_may_lack_its_title(tmp_path: Path) -> None:
    file = write(tmp_path / "corpus.jsonl", '{"_id": "d1", "text": "Words."}\n')
    assert read(file) == [Document("d1", "Words.")]


def test_plain_lines_keep_metadata_and_further_keys(tmp_path: Path) -> None:
    line = '{"id": "d1", "text": "x", "metadata": {"year": 2020}, "lang": "en", "tags": ["a"]}'
    (document,) = read(write(tmp_path / "corpus.jsonl", line))
    assert document.metadata == {"year": 2020, "lang": "en", "tags": ["a"]}


def test_an_integer_id_becomes_its_digits(tmp_path: Path) -> None:
    assert read(write(tmp_path / "c.jsonl", '{"id": 7, "text": "x"}'))[0].id == "7"


def test_gzip_is_recognised_by_its_bytes_whatever_the_name(tmp_path: Path) -> None:
    content = gzip.compress(b'{"id": "d1", "text": "x"}\n')
    for name in ("corpus.jsonl", "corpus.jsonl.gz"):
        assert read(write(tmp_path / name, content)) == [Document("d1", "x")]


def test_a_byte_order_mark_blank_lines_and_windows_line_ends_are_no_fault(tmp_path: Path) -> None:
    file = write(
        tmp_path / "c.jsonl", '\ufeff{"id": "a", "text": "x"}\r\n\r\n{"id": "b", "text": ""}'
    )
    assert [document.id for document in read(file)] == ["a", "b"]


def test_unicode_line_separators_do_not_split_a_line(tmp_path: Path) -> None:
    (document,) = read(write(tmp_path / "c.jsonl", '{"id": "a", "text": "x\u2028y\x85z"}\n'))
    assert document.text == "x\u2028y\x85z"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b'{"id": "a"', "column 11"),
        (b"[1]", "not a JSON object but a list"),
        (b'{"text": "x"}', "no 'id'"),
        (b'{"id": "a"}', "no 'text'"),
        (b'{"id": "a", "_id": "b", "text": "x"}', "both '_id' and 'id'"),
        (b'{"id": "", "text": "x"}', "the id is empty"),
        (b'{"id": 1.5, "text": "x"}', "'id' is 1.5 but a float"),
        (b'{"id": true, "text": "x"}', "'id' is True: give a string or an integer"),
        (b'{"id": "a", "text": 3}', "'text' is a number"),
        (b'{"id": "a", "text": "x", "metadata": []}', "'metadata' is a list"),
        (b'{"id": "a", "text": "x", "m": 1, "metadata": {"m": 2}}', "beside and inside"),
        (b'{"id": "a", "text": "x", "m": NaN}', "NaN"),
        (b'{"id": "a", "text": "\\ud800"}', "surrogate"),
        (b'{"id": "a\\u0000", "text": "x"}', "NUL"),
        (b'{"id": "a", "text": "\xff"}', "not UTF-8"),
        (b'{"id": "a", "text": "x", "n": ' + b"9" * 5000 + b"}", "not usable JSON"),
        (b'{"id": "a", "text": "x", "n": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_malformed_line_is_named_with_file_line_and_reason(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    file = write(tmp_path / "c.jsonl", b'{"id": "ok", "text": "x"}\n' + line + b"\n")
    with pytest.raises(errors.InvalidDocumentError, match="--skip-invalid") as caught:
        read(file)
    assert f"{file}, line 2: " in str(caught.value)
    assert reason in str(caught.value)


def test_malformed_lines_are_counted_and_left_out_on_request(tmp_path: Path) -> None:
    lines = ['{"id": "a", "text": "x"}', "nonsense", '{"id": "b", "text": "y"}', '{"id": "c"}']
    skipped = SkippedLines()
    documents = read(write(tmp_path / "c.jsonl", "\n".join(lines)), skipped=skipped)
    assert [document.id for document in documents] == ["a", "b"]
    assert skipped.count == 2
    assert [reason.split(": ")[0].rpartition(", ")[2] for reason in skipped.reasons] == [
        "line 2",
        "line 4",
    ]


def test_lines_are_read_one_at_a_time(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", '{"id": "a", "text": "x"}\nnonsense\n')
    assert next(read_documents(file)).id == "a"


def test_csv_columns_beside_id_text_and_title_are_metadata(tmp_path: Path) -> None:
    content = 'id,title,text,year,version,note\n1,T,"two\nlines, ""quoted""",2020,3.10,\n'
    (document,) = read(write(tmp_path / "c.csv", content))
    assert document == Document("1", 'two\nlines, "quoted"', "T", {"year": 2020, "version": "3.10"})


def test_tsv_cells_are_separated_by_tabs(tmp_path: Path) -> None:
    (document,) = read(write(tmp_path / "c.tsv", "_id\ttext\nd1\tone, two\n"))
    assert document == Document("d1", "one, two")


@pytest.mark.parametrize(
    "text", ['"open', 'close"', '"both"', 'two ""', '"', 'a "word" inside', '"one",two']
)
def test_a_quote_is_a_character_of_tsv(tmp_path: Path, text: str) -> None:
    file = write(tmp_path / "c.tsv", f"id\ttext\tyear\n1\t{text}\t2020\n{text}\tnext\t\n")
    assert read(file) == [Document("1", text, metadata={"year": 2020}), Document(text, "next")]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_of_tsv_ends_at_a_line_feed_alone(tmp_path: Path, end: str) -> None:
    lines = ["\ufeffid\ttext", "", "1\tx\ry\x0bz\u2028w", "2\t"]
    file = write(tmp_path / "c.tsv", end.join(lines))
    assert read(file) == [Document("1", "x\ry\x0bz\u2028w"), Document("2", "")]


def test_a_row_of_tsv_that_its_writer_has_quoted_is_explained(tmp_path: Path) -> None:
    file = write(tmp_path / "c.tsv", 'id\ttext\n1\t"two\nlines"\n2\tx\n')
    with pytest.raises(errors.InvalidDocumentError, match=r"line 3: 1 cell"):
        read(file)
    skipped = SkippedLines()
    assert [document.id for document in read(file, skipped=skipped)] == ["1", "2"]
    file = write(tmp_path / "q.tsv", 'id\ttext\n1\t"with\ttab"\n')
    with pytest.raises(errors.InvalidDocumentError, match="TSV has no quoting") as caught:
        read(file)
    assert "line 2: 3 cells" in str(caught.value)


def test_a_header_of_tsv_in_quotes_is_explained(tmp_path: Path) -> None:
    file = write(tmp_path / "c.tsv", '"id"\t"text"\n"1"\t"x"\n')
    with pytest.raises(errors.InvalidInputError, match="TSV has no quoting"):
        read(file)


@pytest.mark.parametrize("skipped", [None, SkippedLines()])
def test_a_quote_of_csv_that_nothing_closes_is_an_error_that_no_skipping_hides(
    tmp_path: Path, skipped: SkippedLines | None
) -> None:
    file = write(tmp_path / "c.csv", 'id,text\n1,x\n2,"open\n3,y\n4,z\n')
    with pytest.raises(
        errors.InvalidDocumentError, match=r"c\.csv, line 3: .*without a closing one"
    ):
        read(file, skipped=skipped)


def test_a_malformed_row_of_several_lines_is_named_by_its_first_and_last(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", 'id,text\n1,"x\n2,y"z\n3,w\n')
    with pytest.raises(errors.InvalidDocumentError, match=r"line 2: not CSV .*up to line 3\)"):
        read(file)
    assert [document.id for document in read(file, skipped=SkippedLines())] == ["3"]


@given(
    st.lists(
        st.tuples(
            *[st.text(st.characters(exclude_characters="\t\n\r\0", exclude_categories=["Cs"]))] * 2
        ),
        min_size=1,
    )
)
def test_every_text_without_tabs_and_line_ends_is_read_from_tsv_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str]]
) -> None:
    rows = [f"d{number}\t{text}\t{title}" for number, (text, title) in enumerate(texts)]
    file = tmp_path_factory.mktemp("tsv") / "c.tsv"
    write(file, "\n".join(["id\ttext\ttitle", *rows]))
    assert [(found.text, found.title) for found in read(file)] == texts


def test_a_cell_may_be_longer_than_the_csv_modules_limit(tmp_path: Path) -> None:
    text = "word " * 100_000
    (document,) = read(write(tmp_path / "c.csv", f"id,text\n1,{text}\n"))
    assert document.text == text


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"2,x,y", "3 cells, but 2 in the header"),
        (b"2", "1 cell, but 2 in the header"),
        (b",x", "the id is empty"),
        (b"2,\xff", "not UTF-8 (column 'text')"),
        (b'2,"x"y', "not CSV"),
    ],
)
def test_a_malformed_row_is_named_and_the_rows_after_it_are_read(
    tmp_path: Path, row: bytes, reason: str
) -> None:
    file = write(tmp_path / "c.csv", b"id,text\n1,x\n" + row + b"\n3,z\n")
    with pytest.raises(errors.InvalidDocumentError, match=r"c\.csv, line 3: ") as caught:
        read(file)
    assert reason in str(caught.value)
    skipped = SkippedLines()
    assert [document.id for document in read(file, skipped=skipped)] == ["1", "3"]
    assert skipped.count == 1


@pytest.mark.parametrize("name", ["c.jsonl", "c.json", "c.csv", "c.tsv", "c.csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf16_is_refused_as_a_whole(tmp_path: Path, name: str, encoding: str) -> None:
    content = '{"id": "a", "text": "x"}\n'.encode(encoding)
    file = write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(errors.InvalidDocumentError, match="looks like UTF-16: save it as UTF-8"):
        read(file, skipped=SkippedLines())


@pytest.mark.parametrize("header", ["id,body", "text", "id,text,text", "_id,id,text"])
def test_a_header_that_names_no_id_or_text_is_refused(tmp_path: Path, header: str) -> None:
    file = write(tmp_path / "c.csv", f"{header}\n1,x\n")
    with pytest.raises(errors.InvalidInputError, match=r"c\.csv: the header"):
        read(file, skipped=SkippedLines())


def test_an_empty_file_has_no_documents(tmp_path: Path) -> None:
    for name in ("c.jsonl", "c.csv"):
        assert read(write(tmp_path / name, "")) == []


def test_a_truncated_gzip_file_is_an_error_that_no_skipping_hides(tmp_path: Path) -> None:
    lines = "".join(f'{{"id": "{n}", "text": "{n * 7919}"}}\n' for n in range(2000))
    file = write(tmp_path / "c.jsonl.gz", gzip.compress(lines.encode())[:-2000])
    with pytest.raises(errors.InvalidDocumentError, match="not a complete gzip file"):
        read(file, skipped=SkippedLines())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInputError, match=r"nowhere\.jsonl"):
        read(tmp_path / "nowhere.jsonl")


def test_a_name_that_does_not_say_the_format_needs_the_format(tmp_path: Path) -> None:
    file = write(tmp_path / "corpus.txt", '{"id": "a", "text": "x"}')
    with pytest.raises(errors.InvalidInputError, match="--format"):
        read(file)
    assert read(file, format="jsonl") == [Document("a", "x")]


def test_a_dash_reads_the_standard_input() -> None:
    program = (
        "from rerank_search.corpora.readers import read_documents\n"
        "import sys\n"
        "print([d.id for d in read_documents('-')], sys.stdin.closed)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=gzip.compress(b'{"id": "a", "text": "x"}\n'),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().split() == ["['a']", "False"]


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [
        ("a.jsonl", '{"id": "a", "text": ""}\n\n  \n{"id": "b", "text": ""}\nbroken', 3),
        ("a.jsonl.gz", gzip.compress(b'{"id": "a", "text": ""}\n', mtime=0), 1),
        ("a.csv", 'id,text\na,"one\nand the same"\n\nb,two\n', 2),
        ("a.csv", "id,text\n" + 'a,"never closed\n', 1),
        ("a.tsv", "id\ttext\na\tone\nb\ttwo\n", 2),
        ("a.csv", "", 0),
        ("a.jsonl", "", 0),
    ],
)
def test_documents_are_counted_before_they_are_read(tmp_path: Path, name, content, count) -> None:
    assert count_documents(write(tmp_path / name, content)) == count


def test_what_can_be_read_only_once_is_not_counted(tmp_path: Path) -> None:
    pipe = tmp_path / "documents.jsonl"
    os.mkfifo(pipe)
    assert count_documents(pipe) == 0  # and does not wait for a writer
    assert count_documents("-") == 0


VECTORS = VectorColumn(dimension=2, name="embedding")


def table(path: Path, **columns: object) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path)
    return path


def test_rows_of_parquet_are_documents(tmp_path: Path) -> None:
    file = table(
        tmp_path / "docs.parquet",
        id=[7, 8],
        text=["red", None],
        title=["A", None],
        year=[2020, None],
        metadata=[{"lang": "en"}, None],
    )
    skipped = SkippedLines()
    assert read(file, skipped=skipped) == [Document("7", "red", "A", {"lang": "en", "year": 2020})]
    assert "line 2: no 'text'" in skipped.reasons[0]
    assert count_documents(file) == 2


def test_a_key_of_jsonl_holds_the_vectors(tmp_path: Path) -> None:
    file = write(
        tmp_path / "c.jsonl", '{"id": "a", "text": "x", "embedding": [1, 2.5], "y": [3]}\n'
    )
    [document] = read(file, vectors=VECTORS)
    assert isinstance(document, EncodedDocument)
    assert (list(document.vector), document.metadata) == ([1, 2.5], {"y": [3]})
    assert read(file)[0].metadata == {"embedding": [1, 2.5], "y": [3]}


@pytest.mark.parametrize("kind", ["list", "fixed", "double"])
def test_a_column_of_parquet_holds_the_vectors(tmp_path: Path, kind: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    types = {
        "list": pyarrow.list_(pyarrow.float32()),
        "fixed": pyarrow.list_(pyarrow.float32(), 2),
        "double": pyarrow.list_(pyarrow.float64()),
    }
    column = pyarrow.array([[1, 2.5], [3, 4]], types[kind])
    file = table(tmp_path / "d.parquet", id=["a", "b"], text=["x", "y"], embedding=column)
    found = read(file, vectors=VECTORS)
    assert [list(each.vector) for each in found] == [[1, 2.5], [3, 4]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[1]", "has a vector of 1 numbers, and those of the index have 2"),
        ("[1, 2, 3]", "a vector of 3 numbers"),
        ("null", "has no vector"),
        ('"ab"', "give a list of numbers"),
        ("[0, 0]", "only zeros"),
        ('[1, "2"]', "'2' at place 1"),
        ("[[1, 2]]", "not a number"),
    ],
)
def test_a_vector_that_cannot_be_used_is_a_fault_of_its_line(
    tmp_path: Path, value: str, message: str
) -> None:
    good = '{"id": "a", "text": "x", "embedding": [1, 2]}\n'
    lines = good + f'{{"id": "b", "text": "x", "embedding": {value}}}\n' + good
    file = write(tmp_path / "c.jsonl", lines)
    with pytest.raises(
        errors.InvalidDocumentError, match=rf"c.jsonl, line 2: .*{re.escape(message)}"
    ):
        read(file, vectors=VECTORS)
    skipped = SkippedLines()
    assert len(read(file, vectors=VECTORS, skipped=skipped)) == 2
    assert skipped.count == 1


def test_a_row_of_parquet_without_a_vector_is_named(tmp_path: Path) -> None:
    file = table(
        tmp_path / "d.parquet",
        id=["a", "b", "c"],
        text=["x", "y", "z"],
        embedding=[[1.0, 2.0], None, [1.0, None]],
    )
    skipped = SkippedLines()
    assert [each.id for each in read(file, vectors=VECTORS, skipped=skipped)] == ["a"]
    assert ["has no vector" in skipped.reasons[0], "None at place 1" in skipped.reasons[1]]


def test_a_column_of_parquet_that_holds_no_vectors_is_named(tmp_path: Path) -> None:
    columns = {"id": ["a"], "text": ["x"]}
    file = table(tmp_path / "d.parquet", **columns, embedding=[{"x": 1.0}])
    with pytest.raises(errors.InvalidDocumentError, match="give a list of numbers"):
        read(file, vectors=VECTORS)
    pyarrow = pytest.importorskip("pyarrow")
    cells = [["a"], ["x"], [[1.0, 2.0]], [[2.0, 1.0]]]
    names = [*columns, "embedding", "embedding"]
    twice = pyarrow.Table.from_arrays([*map(pyarrow.array, cells)], names)
    pytest.importorskip("pyarrow.parquet").write_table(twice, file)
    with pytest.raises(errors.InvalidInputError, match=r"two columns of one name .*embedding"):
        read(file, vectors=VECTORS)


@pytest.mark.parametrize("name", ["c.csv", "c.tsv"])
def test_cells_of_text_hold_no_vector(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / name, "id,text,embedding\n")
    with pytest.raises(errors.InvalidInputError, match="holds no vector: use JSONL or Parquet"):
        read(file, vectors=VECTORS)


def test_what_is_no_parquet_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "d.parquet", "not parquet")
    for reading in (read, count_documents):
        with pytest.raises(errors.InvalidInputError, match="cannot be read as Parquet"):
            reading(file)
