from __future__ import annotations

from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection, LabelledPairs
from rerank_search.judged.loading import load_collection
from rerank_search.judged.settings import CollectionSettings


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("samples", {"split": "dev"}, r"samples\.jsonl is a file, .*: leave split out"),
        ("samples", {"split": "test"}, "leave split out"),
        ("file", {"split": "dev"}, r"dev\.csv is a file, .*: leave split out"),
        (
            "pairs",
            {"queries": 5},
            "pairs has pairs, for which queries has no effect: leave queries",
        ),
        ("pairs", {"relevant_from": 2}, "for which relevant_from has no effect"),
        ("pairs", {"index": "x"}, "for which index has no effect"),
        ("pairs", {"runs": {"a": "b"}}, "for which runs has no effect"),
        ("samples", {"runs": {"a": "b"}}, "has samples, for which runs has no effect"),
        ("samples", {"excluded": "a"}, "has samples, for which excluded has no effect"),
    ],
)
def test_a_setting_without_effect_on_its_collection_is_refused(paths, kind, settings, message):
    if kind == "pairs":
        settings = {"split": "dev"} | settings
    declared = CollectionSettings.model_validate({"path": paths[kind]} | settings)
    with pytest.raises(InvalidInputError, match=message):
        load_collection(declared)


def test_settings_that_have_an_effect_are_taken(paths):
    given = {
        "beir": {"split": "test", "queries": 2, "relevant_from": 2},
        "pairs": {"split": "dev"},
        "samples": {"queries": 1, "relevant_from": 1},
    }
    loaded = [
        load_collection(CollectionSettings.model_validate({"path": paths[kind]} | settings))
        for kind, settings in given.items()
    ]
    assert [each.split for each in loaded] == ["test", "dev", "samples"]
    assert isinstance(loaded[0], JudgedCollection)
    assert (len(loaded[0].qrels), loaded[0].relevant_from) == (2, 2)
    assert isinstance(loaded[1], LabelledPairs)


@pytest.mark.parametrize(
    ("folder", "name", "problem"),
    [
        ("my notes", "my-notes", None),
        ("b" * 101, None, r"the name 'bbb.* has 101 bytes, more than 100, .*: give another name"),
        ("a\x1bb", None, "contains a character that cannot be printed"),
    ],
)
def test_the_name_of_a_folder_is_checked_like_any_other(paths, tmp_path, folder, name, problem):
    path = Path(paths["beir"]).rename(tmp_path / folder)
    if problem is None:
        assert load_collection(CollectionSettings(path=path)).name == name
    else:
        with pytest.raises(InvalidInputError, match=problem):
            load_collection(CollectionSettings(path=path))
        assert load_collection(CollectionSettings(path=path, name="short")).name == "short"


def test_a_split_is_named_like_a_collection(paths):
    path = Path(paths["file"]).rename(Path(paths["pairs"]) / "dev set.csv")
    assert load_collection(CollectionSettings(path=path)).split == "dev-set"
