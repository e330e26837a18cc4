from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.judged.formats.pairs import TEXT_COLUMNS
from rerank_search.training.data.pairs import load_pairs_set
from rerank_search.training.data.samples import load_samples_set
from rerank_search.training.recipe.sources import Source


def jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def labelled(path: Path, *labels: object) -> Source:
    rows = [{"text1": "a", "text2": f"b{i}", "label": label} for i, label in enumerate(labels)]
    return Source(pairs=jsonl(path / "train.jsonl", *rows))


@pytest.mark.parametrize("columns", TEXT_COLUMNS)
@pytest.mark.parametrize("name", ["train.jsonl", "train.csv", "train.tsv.gz", "train.parquet"])
def test_pairs_of_every_layout_and_format_are_grouped_by_their_first_text(
    tmp_path: Path, name: str, columns: tuple[str, str]
) -> None:
    first, second = columns
    texts = [("river", "stream", 1), ("oven", "rain", 0), ("river", "bread", -2.5)]
    rows = [{first: a, second: b, "label": float(label)} for a, b, label in texts]
    path = tmp_path / "things" / name
    path.parent.mkdir()
    if name.endswith(".parquet"):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif name.endswith(".jsonl"):
        jsonl(path, *rows)
    else:
        comma = "," if "csv" in name else "\t"
        lines = [list(rows[0]), *(list(map(str, row.values())) for row in rows)]
        content = ("\n".join(map(comma.join, lines)) + "\n").encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    for given in (path, path.parent):
        read = load_pairs_set(Source(pairs=given, licence="MIT"), seed=1)
        assert (read.name, read.split, read.licence) == ("things", "train", "MIT")
        assert [(g.query, g.documents, g.labels) for g in read.groups] == [
            ("river", ["stream", "bread"], [1.0, -2.5]),
            ("oven", ["rain"], [0.0]),
        ]


def test_a_pair_knows_its_line(tmp_path: Path) -> None:
    source = labelled(tmp_path, 1, 0)
    assert load_pairs_set(source, seed=1).groups[0].places == ["line 1", "line 2"]


@pytest.mark.parametrize(
    ("labels", "label_map", "expected"),
    [
        ((-1, "0", 1.0), {"-1": 0.0, "0": 0.5, "1.0": 1.0}, [0.0, 0.5, 1.0]),
        (("-1.0", 0), {"-1": 4.0, "0": 5.0}, [4.0, 5.0]),
        (("yes", "no", "yes"), {"yes": 1.0, "no": 0.0}, [1.0, 0.0, 1.0]),
        ((True, False, None), {"true": 1.0, "false": 0.0, "null": 0.5}, [1.0, 0.0, 0.5]),
    ],
)
def test_labels_are_mapped_however_they_are_written(
    tmp_path: Path, labels: tuple[object, ...], label_map: dict[str, float], expected: list[float]
) -> None:
    source = labelled(tmp_path, *labels).model_copy(update={"label_map": label_map})
    assert load_pairs_set(source, seed=1).groups[0].labels == expected


@pytest.mark.parametrize(
    ("labels", "label_map", "problem"),
    [
        ((1, "yes"), {}, r"line 2: the label 'yes' is not a finite number.* are 1, 'yes'"),
        ((1, "nan"), {}, r"line 2: the label 'nan' is not a finite number"),
        ((1, True), {}, r"line 2: the label 'true' is not a finite number"),
        ((1, 10**400), {}, r"line 2: the label '10{20,60} is not a finite number"),
        ((1, 2, 0), {"1": 1.0, "0": 0.0}, r"line 2: the label 2 has no entry.* are 0, 1, 2"),
        (("same", "other"), {"same": 1.0, "othr": 0.0}, r"'othr'.*did you mean 'other'"),
        ((1, 0), {"1": 1.0, "1.0": 0.0}, r"names the label '1.0' twice"),
        ((1,), {"1": math.inf}, r"'1' is inf: give a finite number"),
        (tuple(map(str, "abcdefghijkl")), {}, r"'a', .* and 2 more"),
    ],
)
def test_labels_that_have_no_number_and_entries_that_no_label_needs_are_errors(
    tmp_path: Path, labels: tuple[object, ...], label_map: dict[str, float], problem: str
) -> None:
    source = labelled(tmp_path, *labels).model_copy(update={"label_map": label_map})
    with pytest.raises(InvalidInputError, match=problem):
        load_pairs_set(source, seed=1)


def test_wrong_columns_are_named_with_those_that_are_accepted(tmp_path: Path) -> None:
    pairs = jsonl(tmp_path / "pairs.jsonl", {"a": 1})
    with pytest.raises(
        InvalidInputError, match=r"the columns are a, but .* sentence_0, sentence_1"
    ):
        load_pairs_set(Source(pairs=pairs), seed=1)
    with pytest.raises(
        InvalidInputError, match=r"line 1: the fields are a, but .* query, positive"
    ):
        load_samples_set(Source(samples=pairs), seed=1)
