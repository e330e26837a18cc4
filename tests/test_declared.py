from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict

from rerank_search.declared import read_toml, validated
from rerank_search.errors import InvalidInputError


class Split(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tokens: int = 256


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid")
    analyzer: str = "english"
    split: Split | Literal[False] = Split()


FILE = Path("x.toml")


def test_a_valid_table_becomes_the_model() -> None:
    assert validated(Table, {"split": {"tokens": 128}}, FILE) == Table(split=Split(tokens=128))


def test_an_unknown_key_is_named_with_the_nearest_one() -> None:
    with pytest.raises(InvalidInputError, match=r"x\.toml: unknown key 'analyser'; .*'analyzer'"):
        validated(Table, {"analyser": "plain"}, FILE)


def test_an_unknown_key_of_a_nested_table_is_named_by_its_dotted_path() -> None:
    with pytest.raises(InvalidInputError, match=r"unknown key 'split\.token'; .*'tokens'"):
        validated(Table, {"split": {"token": 1}}, FILE)


def test_a_wrong_value_is_named_with_its_key_and_the_reason() -> None:
    with pytest.raises(InvalidInputError, match=r"analyzer: .* \(it is 3\)"):
        validated(Table, {"analyzer": 3}, FILE)


def test_a_file_that_is_not_there_or_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"nowhere\.toml cannot be read"):
        read_toml(tmp_path / "nowhere.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = = 1")
    with pytest.raises(InvalidInputError, match=r"broken\.toml is not valid TOML"):
        read_toml(broken)
    broken.write_text("a = {0 = 0.0, 0.5 = 0.5}")
    with pytest.raises(InvalidInputError, match=r'no quotes \("0\.5"\)'):
        read_toml(broken)
