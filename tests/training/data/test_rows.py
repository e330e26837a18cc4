from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.judged.findings import Finding
from rerank_search.judged.formats.pairs import TEXT_COLUMNS
from rerank_search.training.data.groups import Group, TrainingSet
from rerank_search.training.data.pairs import load_pairs_set
from rerank_search.training.data.rows import pairs_scored, rows
from rerank_search.training.data.samples import load_samples_set
from rerank_search.training.data.texts import letters_and_digits
from rerank_search.training.recipe.losses import Loss, LossName
from rerank_search.training.recipe.sources import Source

RIVER = Group("river", ["bread", "stream", "water"], [0.0, 1.0, 1.0])
OVEN = Group("oven", ["kitchen", "rain"], [1.0, 0.0])
ALIKE = Group("tower", ["bridge"], [0.0])


def jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def labelled(path: Path, *labels: object) -> Source:
    rows = [{"text1": "a", "text2": f"b{i}", "label": label} for i, label in enumerate(labels)]
    return Source(pairs=jsonl(path / "train.jsonl", *rows))


def made(*groups: Group) -> TrainingSet:
    return TrainingSet("mine", "train", "MIT", groups)


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
        ((1,), {"1": math.inf}, r"'1' is inf; give a finite number"),
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
        InvalidInputError, match=r"the columns are a, and .* sentence_0, sentence_1"
    ):
        load_pairs_set(Source(pairs=pairs), seed=1)
    with pytest.raises(
        InvalidInputError, match=r"line 1: the fields are a, and .* query, positive"
    ):
        load_samples_set(Source(samples=pairs), seed=1)


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
        ({"query": "q", "positive": "p", "documents": ["n"], "labels": [1, 0]}, "goes with"),
        ({"query": "q", "positive": "p", "negative": [], "labels": ["x"]}, "not a finite number"),
        ({"query": "q", "positive": "p", "negative": [], "labels": [math.nan]}, "not a finite"),
    ],
)
def test_a_malformed_sample_is_named(tmp_path: Path, record: object, problem: str) -> None:
    path = jsonl(tmp_path / "train.jsonl", record)
    with pytest.raises(InvalidInputError, match=rf"line 1: .*{problem}"):
        load_samples_set(Source(samples=path), seed=1)


def test_a_folder_of_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is a folder: give the JSONL file"):
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


def test_losses_over_pairs_have_a_row_for_each_pair() -> None:
    assert rows(made(OVEN, ALIKE), "bce") == {
        "query": ["oven", "oven", "tower"],
        "document": ["kitchen", "rain", "bridge"],
        "label": [1.0, 0.0, 0.0],
    }


def test_losses_over_lists_have_the_best_document_first_and_no_query_of_one_label() -> None:
    assert rows(made(RIVER, ALIKE, OVEN), "list-mle") == {
        "query": ["river", "oven"],
        "documents": [["stream", "water", "bread"], ["kitchen", "rain"]],
        "labels": [[1.0, 1.0, 0.0], [1.0, 0.0]],
    }


def test_labels_of_cross_entropy_are_the_shares_of_the_documents_after_a_softmax() -> None:
    graded = Group("q", ["a", "b", "c", "d"], [1.0, 0.0, 0.5, 0.5])
    [labels] = rows(made(graded), "cross-entropy")["labels"]
    powers = [math.exp(label) for label in labels]
    shares = [power / sum(powers) for power in powers]
    assert shares == pytest.approx([0.5, 0.25, 0.25, 0.0], abs=1e-8)


def test_multiple_negatives_takes_as_many_negatives_as_every_query_has() -> None:
    two = Group("q", ["a", "b", "n1", "n2", "n3"], [1.0, 1.0, 0.0, 0.0, 0.0])
    one = Group("r", ["c", "m1", "m2"], [1.0, 0.0, 0.0])
    assert rows(made(two, ALIKE, one), "multiple-negatives") == {
        "query": ["q", "q", "r"],
        "positive": ["a", "b", "c"],
        "negative_1": ["n1", "n3", "m1"],
        "negative_2": ["n2", "n1", "m2"],
    }
    alone = Group("s", ["d"], [1.0])
    assert list(rows(made(one, alone), "multiple-negatives")) == ["query", "positive"]


def test_margins_are_those_between_the_best_document_and_each_other_one() -> None:
    soft = Group("q", ["a", "b", "c"], [2.0, 7.5, -1.0])
    assert rows(made(soft, ALIKE), "margin-mse") == {
        "query": ["q", "q"],
        "positive": ["b", "b"],
        "negative": ["a", "c"],
        "label": [5.5, 8.5],
    }


@pytest.mark.parametrize(
    ("loss", "pairs"),
    [
        (Loss(name="mse"), 6),
        (Loss(name="listwise"), 5),
        (Loss(name="margin-mse"), 6),
        (Loss(name="multiple-negatives"), 3 * (2 + 4)),
        (Loss(name="multiple-negatives", options={"num_negatives": 7}), 3 * (2 + 7)),
    ],
)
def test_pairs_are_counted_as_the_loss_scores_them(loss: Loss, pairs: int) -> None:
    assert pairs_scored(made(RIVER, OVEN, ALIKE), loss) == pairs


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("bce", "BinaryCrossEntropyLoss", {}),
        ("mse", "MSELoss", {}),
        ("listwise", "ListNetLoss", {}),
        ("cross-entropy", "ListNetLoss", {}),
        ("lambda", "LambdaLoss", {}),
        ("ranknet", "RankNetLoss", {}),
        ("list-mle", "ListMLELoss", {}),
        ("multiple-negatives", "MultipleNegativesRankingLoss", {"num_negatives": 1}),
        ("margin-mse", "MarginMSELoss", {}),
    ],
)
def test_each_loss_of_sentence_transformers_takes_its_rows(
    tiny_reranker: Path, name: LossName, kind: str, options: dict[str, Any]
) -> None:
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import losses
    from sentence_transformers.cross_encoder.data_collator import CrossEncoderDataCollator

    model = CrossEncoder(str(tiny_reranker), device="cpu")
    columns = rows(made(RIVER, OVEN, ALIKE), name)
    features = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    batch = CrossEncoderDataCollator(preprocess_fn=model.preprocess)(features)
    labels = batch.pop("label", None)
    value = getattr(losses, kind)(model, **options)(list(batch.values()), labels)
    assert math.isfinite(value.item())
    assert value.item() > 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The River, again!", "the river again", True),
        ("Stra\u00dfe", "STRASSE", True),
        ("\ufb01le 2", "file\u00b2", True),
        ("river", "rivers", False),
        ("\u0915\u093f", "\u0915\u0940", False),
        ("???", "!!!", False),
    ],
)
def test_texts_are_the_same_where_their_letters_and_digits_are(
    one: str, other: str, same: bool
) -> None:
    assert (letters_and_digits(one) == letters_and_digits(other)) is same
