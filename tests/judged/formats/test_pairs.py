from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.judged.formats.pairs import TEXT_COLUMNS, load_pairs

SHARED = Path(__file__).parents[4] / "shared" / "data"
PAIRS = [("river", "stream"), ("river", "bread")]


def written(path: Path, content: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def jsonl(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def labelled(*labels: object) -> str:
    return jsonl(*({"text1": f"a{i}", "text2": "b", "label": v} for i, v in enumerate(labels)))


@pytest.mark.parametrize("columns", TEXT_COLUMNS)
@pytest.mark.parametrize(
    "name", ["dev.jsonl", "dev.jsonl.gz", "dev.csv", "dev.tsv", "dev.tsv.gz", "dev.parquet"]
)
def test_every_layout_is_read_in_every_format(
    tmp_path: Path, name: str, columns: tuple[str, str]
) -> None:
    rows = [{columns[0]: a, columns[1]: b, "label": 1 - i} for i, (a, b) in enumerate(PAIRS)]
    path = tmp_path / "things" / name
    if name.endswith(".parquet"):
        import pyarrow
        from pyarrow import parquet

        path.parent.mkdir()
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif "jsonl" in name:
        written(path, jsonl(*rows))
    else:
        comma = "," if "csv" in name else "\t"
        lines = [list(rows[0]), *(list(map(str, row.values())) for row in rows)]
        written(path, "\n".join(map(comma.join, lines)) + "\n")
    for given in (path, path.parent):
        read = load_pairs(given, "dev")
        assert (read.name, read.split) == ("things", "dev")
        assert read.pairs == PAIRS
        assert read.labels == [1, 0]
        assert read.findings == []


def test_cells_may_be_quoted_and_further_columns_are_ignored(tmp_path: Path) -> None:
    content = '\ufeffid,text1,text2,label\r\n1,"a, ""b""","c\nd",1.0\r\n\r\n2,x,y,0\r\n'
    read = load_pairs(written(tmp_path / "dev.csv", content), "dev")
    assert read.pairs == [('a, "b"', "c\nd"), ("x", "y")]
    assert read.labels == [1, 0]


def test_a_quote_in_tsv_takes_no_other_pairs_label(tmp_path: Path) -> None:
    rows = ['"river\tstream\t1', 'river\t"bread\t0', 'sea"\t"lake"\t1']
    path = written(tmp_path / "dev.tsv", "\n".join(["text1\ttext2\tlabel", *rows]))
    read = load_pairs(path, "dev")
    assert read.pairs == [('"river', "stream"), ("river", '"bread'), ('sea"', '"lake"')]
    assert read.labels == [1, 0, 1]


def test_a_file_is_its_own_split(tmp_path: Path) -> None:
    assert load_pairs(written(tmp_path / "mine.jsonl", labelled(0, 1)), "test").split == "mine"


def test_labels_are_zero_and_one_however_they_are_written(tmp_path: Path) -> None:
    path = written(tmp_path / "dev.jsonl", labelled(0, 1, 0.0, 1.0, "0", "1", "0.0", "1.0"))
    assert load_pairs(path, "dev").labels == [0, 1] * 4


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (
            (1, 0.7, 4.5),
            r"line 2: the label 0.7 is not 0 or 1 \(2 such rows, the labels go from 0.",
        ),
        ((1, 2), r"line 2: the label 2 is not 0 or 1 \(1 such rows, the labels go from 1 to 2\)"),
        (("yes", "no"), r"line 1: the label 'yes' is not 0 or 1 \(2 such rows\)"),
        ((0, True), "line 2: the label True is not 0 or 1"),
        ((0, None), "line 2: the label None is not 0 or 1"),
        ((0, "nan"), "line 2: the label 'nan' is not 0 or 1"),
    ],
)
def test_another_label_is_named_with_the_range(
    tmp_path: Path, labels: tuple[object, ...], problem: str
) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        load_pairs(written(tmp_path / "dev.jsonl", labelled(*labels)), "dev")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("dev.jsonl", "", "has no pairs"),
        ("dev.csv", "text1,text2,label\n", "has no pairs"),
        (
            "dev.jsonl",
            jsonl({"a": 1}),
            r"line 1: the columns are a, but should be text1, text",
        ),
        (
            "dev.csv",
            "a,b,label\nx,y,1\n",
            "line 1: the columns are a, b, label, but should be",
        ),
        (
            "dev.csv",
            "text1,text2,label\nx,1\n",
            r"line 2: 2 cells, but 3 in the header \(line 1\)",
        ),
        (
            "dev.csv",
            "text1,text1,label\nx,y,1\n",
            r"line 1: the header \(text1, text1, label\) names 'text1' twice",
        ),
        (
            "dev.csv",
            'text1,text2,label\na,b,0\n"x,y,1\nz,w,0\n',
            "line 3: .* without a closing one",
        ),
        ("dev.csv", 'text1,text2,label\n"x"y,z,1\n', "line 2: not CSV"),
        ("dev.tsv", 'text1\ttext2\tlabel\n"x\ty"\tz\t1\n', "line 2: 4 cells.* no quoting"),
        ("dev.jsonl", labelled(1) + jsonl({"text1": "a", "label": 1}), "line 2: no 'text2'"),
        ("dev.jsonl", labelled(1) + "[1]\n", "line 2: not a JSON object"),
        ("dev.jsonl", labelled(1) + "{\n", "line 2: not JSON"),
        ("dev.jsonl", jsonl({"text1": None, "text2": "b", "label": 1}), "'text1' is not a string"),
        ("dev.txt", "", r"dev\.txt: the name does not show the format"),
        ("dev.parquet", "PAR", "cannot be read as Parquet"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: str, problem: str
) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        load_pairs(written(tmp_path / name, content), "dev")


def test_a_cell_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "dev.csv"
    path.write_bytes(b"text1,text2,label\nx,\xe9,1\n")
    with pytest.raises(InvalidInputError, match=r"dev\.csv, after line .: cannot be read"):
        load_pairs(path, "dev")


def test_a_split_that_is_not_there_is_told_those_that_are(tmp_path: Path) -> None:
    for name in ("train.jsonl", "dev.csv"):
        written(tmp_path / name, labelled(1))
    with pytest.raises(InvalidInputError, match=r"no split 'test': it has dev, train"):
        load_pairs(tmp_path, "test")


def test_a_split_in_two_files_is_an_error_that_names_both(tmp_path: Path) -> None:
    written(tmp_path / "dev.jsonl", labelled(0, 1))
    for name in ("test.csv", "test.jsonl"):
        written(tmp_path / name, labelled(0, 1))
    with pytest.raises(
        InvalidInputError, match=r"split 'test' has test\.csv and test\.jsonl: keep"
    ):
        load_pairs(tmp_path, "test")
    assert load_pairs(tmp_path, "dev").labels == [0, 1]


def test_odd_pairs_are_kept_and_said(tmp_path: Path) -> None:
    rows = [("a", "b", 1), ("a", "b", 1), ("a", "b", 0), ("a", " ", 0)]
    content = jsonl(*({"text1": a, "text2": b, "label": label} for a, b, label in rows))
    read = load_pairs(written(tmp_path / "dev.jsonl", content), "dev")
    assert len(read.pairs) == 4
    assert list(map(str, read.findings)) == [
        "1 pairs repeated with the same label, counted each time (first: dev.jsonl, line 2)",
        "1 pairs repeated with the other label, counted each time (first: dev.jsonl, line 3)",
        "1 pairs with a blank text (first: dev.jsonl, line 4)",
    ]


def test_pairs_of_one_class_are_said(tmp_path: Path) -> None:
    read = load_pairs(written(tmp_path / "dev.jsonl", labelled(1, 1)), "dev")
    assert list(map(str, read.findings)) == [
        "2 pairs, all of them with the label 1 (first: dev.jsonl, line 1)"
    ]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the labelled pairs are not there")
@pytest.mark.parametrize("name", ["finance-terms", "product-abt-buy", "product-pairs"])
def test_the_labelled_pairs_are_read(name: str) -> None:
    read = load_pairs(SHARED / name, "dev")
    assert len(read.pairs) == len(read.labels) > 0
    assert set(read.labels) == {0, 1}
