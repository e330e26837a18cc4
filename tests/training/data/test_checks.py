from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import LabelledPairs
from rerank_search.judged.findings import Finding
from rerank_search.training.data.checks import check_training
from rerank_search.training.data.groups import Group, TrainingSet
from rerank_search.training.data.pairs import load_pairs_set
from rerank_search.training.recipe.losses import Loss, LossName
from rerank_search.training.recipe.sources import Source

RIVER = Group("river", ["stream", "bread"], [1.0, 0.0])


POSITIVE = Group("oven", ["kitchen"], [1.0])


NEGATIVE = Group("oven", ["rain"], [0.0])


def made(*groups: Group, name: str = "mine") -> TrainingSet:
    return TrainingSet(name, "train", "MIT", groups)


def dev(*pairs: tuple[str, str]) -> LabelledPairs:
    return LabelledPairs("held", "dev", pairs, [1] * len(pairs))


@pytest.mark.parametrize("loss", get_args(LossName))
def test_clean_data_of_both_classes_have_no_findings(loss: LossName) -> None:
    assert check_training([made(RIVER)], Loss(name=loss)) == []


@pytest.mark.parametrize("groups", [(), (Group("q", [], []),)])
def test_a_set_without_pairs_is_an_error(groups: tuple[Group, ...]) -> None:
    with pytest.raises(InvalidInputError, match="empty/train gives no pairs to train on"):
        check_training([made(RIVER), made(*groups, name="empty")], Loss())


@pytest.mark.parametrize(
    ("loss", "group", "problem"),
    [
        ("bce", POSITIVE, "all 1 training pairs have the label 1.*multiple-negatives"),
        ("mse", NEGATIVE, "all 1 training pairs have the label 0.*add pairs that belong"),
        ("listwise", NEGATIVE, "all 1 training pairs have the label 0.*add pairs that belong"),
        ("multiple-negatives", NEGATIVE, "have the label 0.*add pairs that belong together"),
        (
            "multiple-negatives",
            Group("q", ["a", "b"], [0.0, 0.5]),
            "all 2 training pairs have labels up to 0.5",
        ),
    ],
)
def test_a_single_class_is_an_error_with_its_mend(
    loss: LossName, group: Group, problem: str
) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        check_training([made(group)], Loss(name=loss))


def test_the_classes_may_be_in_two_sources_where_pairs_stand_alone() -> None:
    sets = [made(POSITIVE), made(NEGATIVE)]
    assert check_training(sets, Loss(name="bce")) == []
    with pytest.raises(
        InvalidInputError, match=r"no query with documents of different labels.*bce"
    ):
        check_training(sets, Loss(name="ranknet"))
    with pytest.raises(InvalidInputError, match=r"mine/train has no positive pair"):
        check_training(sets, Loss(name="multiple-negatives"))


def test_positives_alone_suffice_where_negatives_come_from_the_batch() -> None:
    assert check_training([made(POSITIVE)], Loss(name="multiple-negatives")) == []


@pytest.mark.parametrize("loss", ["bce", "cross-entropy", "multiple-negatives"])
def test_labels_outside_of_the_range_are_an_error_with_the_map_that_mends_it(
    loss: LossName,
) -> None:
    graded = Group("q", ["a", "b", "c"], [0.0, 1.0, -1.0])
    expected = (
        r"the labels go from -1 to 1 \(first outside: mine/train, query 1, document 3\), and "
        rf"{loss} needs labels in \[0, 1\]: set label_map = {{-1 = 0.0, 0 = 0.5, 1 = 1.0}} in "
        r"its source, or choose a loss that allows any labels \(lambda, list-mle, "
    )
    as_in_file = replace(made(graded), as_in_file=True)
    with pytest.raises(InvalidInputError, match=expected):
        check_training([as_in_file], Loss(name=loss))


def test_labels_that_were_mapped_out_of_the_range_get_no_other_map(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("text1,text2,label\na,b,yes\nc,d,no\n")
    source = Source(pairs=path, label_map={"yes": 5.0, "no": 0.0})
    with pytest.raises(InvalidInputError, match=r"needs labels in \[0, 1\]: choose a loss"):
        check_training([load_pairs_set(source, seed=1)], Loss(name="bce"))


def test_the_map_in_the_message_is_one_that_a_recipe_can_have(tmp_path: Path) -> None:
    from rerank_search.declared import toml_value

    path = tmp_path / "train.jsonl"
    records = [{"text1": "a", "text2": f"b{v}", "label": v} for v in (-1, 0.5, 3)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    source = Source(pairs=path)
    with pytest.raises(InvalidInputError) as caught:
        check_training([load_pairs_set(source, seed=1)], Loss(name="bce"))
    shown = str(caught.value).partition("label_map = ")[2].partition("}")[0] + "}"
    mapped = Source(pairs=path, label_map=toml_value(shown))
    assert load_pairs_set(mapped, seed=1).groups[0].labels == [0.0, 0.375, 1.0]
    assert check_training([load_pairs_set(mapped, seed=1)], Loss(name="bce")) == []


def test_of_many_labels_no_map_is_made_up() -> None:
    many = Group("q", [f"d{i}" for i in range(11)], [float(i) for i in range(11)])
    with pytest.raises(InvalidInputError, match=r"needs labels in \[0, 1\]: choose a loss"):
        check_training([made(many)], Loss(name="bce"))
    assert check_training([made(many)], Loss(name="mse")) == []


def test_labels_whose_powers_of_two_overflow_are_an_error() -> None:
    huge = Group("q", ["a", "b"], [0.0, 200.0])
    with pytest.raises(InvalidInputError, match="lambda needs labels up to 100"):
        check_training([made(huge)], Loss(name="lambda"))


def test_repeated_contradictory_and_blank_pairs_are_counted_with_the_first_place(
    tmp_path: Path,
) -> None:
    path = tmp_path / "train.jsonl"
    texts = [
        ("a", "b", 1),
        ("a", "b", 1),
        ("a", "b", 0),
        ("a", "b", 0),
        ("a", " ", 0),
        ("", "b", 0),
    ]
    texts.append(("a", "a", 1))
    records = [{"text1": a, "text2": b, "label": label} for a, b, label in texts]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    read = load_pairs_set(Source(pairs=path), seed=1)
    assert [
        (finding.count, finding.first.rpartition(", ")[2])
        for finding in check_training([read], Loss(name="bce"))
    ] == [(1, "line 2"), (2, "line 3"), (2, "line 5"), (1, "line 7")]


def test_a_pair_that_two_sources_have_is_repeated() -> None:
    other = made(Group("river", ["stream", "oven"], [1.0, 0.0]), name="other")
    assert check_training([made(RIVER), other], Loss()) == [
        Finding(
            "training pairs repeated with the same label, which count each time",
            1,
            "other/train, query 1, document 1",
        )
    ]


def test_queries_and_negatives_that_the_loss_leaves_out_are_counted() -> None:
    sets = [made(RIVER, POSITIVE, Group("tower", ["bridge"], [0.0]))]
    of_lists = "training queries that listwise learns nothing from, left out"
    assert check_training(sets, Loss()) == [Finding(of_lists, 2, "mine/train, query 2")]
    assert [(f.count, f.first) for f in check_training(sets, Loss(name="multiple-negatives"))] == [
        (1, "mine/train, query 3"),
        (1, "mine/train, query 1; the fewest are 0"),
    ]
