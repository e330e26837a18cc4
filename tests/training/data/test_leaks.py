from __future__ import annotations

from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import LabelledPairs
from rerank_search.judged.findings import Finding
from rerank_search.judged.formats.beir import load_beir
from rerank_search.training.data.groups import Group, TrainingSet
from rerank_search.training.data.leaks import without_leaks

RIVER = Group("river", ["stream", "bread"], [1.0, 0.0])


POSITIVE = Group("oven", ["kitchen"], [1.0])


def made(*groups: Group, name: str = "mine") -> TrainingSet:
    return TrainingSet(name, "train", "MIT", groups)


def dev(*pairs: tuple[str, str]) -> LabelledPairs:
    return LabelledPairs("held", "dev", pairs, [1] * len(pairs))


def test_a_training_pair_of_the_evaluation_is_a_leak_either_way_round() -> None:
    sets = [made(POSITIVE, RIVER)]
    held = dev(("tower", "bridge"), ("Stream.", "the river"), ("stream!", "River"))
    with pytest.raises(InvalidInputError) as caught:
        without_leaks(sets, [held], "refuse")
    assert str(caught.value).startswith(
        "1 training pairs that are also in the evaluation (first: mine/train, query 2, "
        "document 1, which is also held/dev, pair 3): the model would look better"
    )
    assert 'Set leaks to "remove"' in str(caught.value)
    assert [finding.count for finding in without_leaks(sets, [held], "allow")[1]] == [1]


def test_a_shared_text_of_labelled_pairs_alone_is_no_leak() -> None:
    held = dev(("river", "tower"), ("bridge", "stream"))
    assert without_leaks([made(RIVER)], [held], "refuse")[1] == []


def test_a_passage_of_an_evaluated_text_is_a_leak_and_a_common_word_is_none() -> None:
    long = "The river is in the village, and the boat is on the river. " * 5
    held = dev(("river", long), ("river", "the bridge"))
    passage, word = Group("river", [long[60:200]], [1.0]), Group("river", ["bridge"], [1.0])
    with pytest.raises(InvalidInputError, match=r"document 1, which is also held/dev, pair 1"):
        without_leaks([made(passage)], [held], "refuse")
    assert without_leaks([made(word)], [held], "refuse")[1] == []


def test_a_judged_training_query_is_a_leak_and_a_shared_document_is_not(collection: Path) -> None:
    judged = load_beir(collection, "train")
    document = next(iter(judged.documents() if judged.documents else ())).text
    sets = [made(Group("other", [document], [1.0]))]
    assert without_leaks(sets, [judged], "refuse") == (sets, [])
    shared = made(RIVER, Group("Which river is RED?", ["x"], [1.0]))
    with pytest.raises(InvalidInputError, match=r"1 training queries .*query 'q0'"):
        without_leaks([shared], [judged], "refuse")
    assert without_leaks([shared], [judged], "allow")[1] == [
        Finding(
            "training queries that are also in the evaluation, left in",
            1,
            "mine/train, query 2, which is also colours/train, query 'q0'",
        )
    ]


def test_leaks_are_removed_on_request_and_the_rest_stays() -> None:
    group = Group("river", ["stream", "bridge"], [1.0, 0.0], ["line 1", "line 2"])
    [left], found = without_leaks([made(group, POSITIVE)], [dev(("River", "stream"))], "remove")
    assert left.groups == [Group("river", ["bridge"], [0.0], ["line 2"]), POSITIVE]
    assert [str(each) for each in found] == [
        "1 training pairs that are also in the evaluation, removed (first: mine/train, line 1, "
        "which is also held/dev, pair 1)"
    ]


def test_a_source_of_which_nothing_is_left_is_an_error_that_names_the_leak() -> None:
    with pytest.raises(
        InvalidInputError, match=r"everything in mine/train is also .* which is also"
    ):
        without_leaks([made(RIVER)], [dev(("river", "stream"), ("river", "bread"))], "remove")
