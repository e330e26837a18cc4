from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from rerank_search.training.data.groups import Group, TrainingSet
from rerank_search.training.data.rows import pairs_scored, rows
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
