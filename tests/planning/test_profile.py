from __future__ import annotations

import json
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.planning import read_profile, write_profile
from tests.planning.conftest import calls, content


def test_a_written_profile_is_read_again(profile, tmp_path: Path) -> None:
    file = tmp_path / "new" / "costs.json"
    write_profile(profile, file)
    assert read_profile(file) == profile


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format": 2}, "format"),
        ({"rerankers": []}, "rerankers"),
        ({"process_bytes": 0}, "process_bytes"),
        ({"process_bytes": float("nan")}, "process_bytes"),
        ({"process_bytes": 1e300}, "process_bytes"),
        ({"machine": content()["machine"] | {"memory_bytes": 10**400}}, "machine.memory_bytes"),
        ({"text": content()["text"] | {"build_seconds_per_word": 1e300}}, "build_seconds_per_word"),
        ({"text": content()["text"] | {"searches": calls((5, 1.0), (5, 2.0))}}, "the same size"),
        ({"speed": 1}, "unknown key 'speed'"),
        ({"vectors": content()["vectors"] * 2}, "vectors has duplicate entries"),
        ({"text": content()["text"] | {"searches": calls((1, 1.0))}}, "text.searches"),
        ({"text": content()["text"] | {"searches": calls((1, 1.0), (2, -1.0))}}, "text.searches"),
    ],
)
def test_an_invalid_profile_is_refused(changes, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "costs.json"
    file.write_text(json.dumps(content() | changes))
    with pytest.raises(InvalidInputError, match=problem) as refused:
        read_profile(file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "problem"), [("", "not JSON"), ("[]", "no JSON object"), ("\udcff", "not JSON")]
)
def test_a_file_that_is_no_profile_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "costs.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidInputError, match=problem):
        read_profile(file)


def test_a_missing_file_is_refused_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="--measure"):
        read_profile(tmp_path / "none.json")


def test_a_reranker_is_chosen_by_name_or_label(profile) -> None:
    assert profile.reranker(None).name == "large"
    assert profile.reranker("small").name == "small"
    assert profile.reranker("small (float32, torch)").name == "small"
    with pytest.raises(InvalidInputError, match=r"'other' was not measured: use one of large"):
        profile.reranker("other")
