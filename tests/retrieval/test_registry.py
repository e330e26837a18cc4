"""First stages by name."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from rerank_search.errors import InvalidInputError
from rerank_search.retrieval.registry import encodes, known_name, names
from rerank_search.retrieval.stage_name import FirstStageName


def test_the_built_in_first_stages_are_listed_the_best_last() -> None:
    assert names()[:4] == ("bm25", "dense", "hybrid", "sparse")


@pytest.mark.parametrize("name", ["bm25", "dense", "hybrid"])
def test_a_known_name_is_returned(name: str) -> None:
    assert known_name(name) == name


@pytest.mark.parametrize("name", ["", "BM25", "splade"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"there is no first stage .*: use one of bm25, "):
        known_name(name)


def test_only_bm25_works_without_an_encoder() -> None:
    assert [name for name in ("bm25", "dense", "hybrid") if not encodes(name)] == ["bm25"]


class Request(BaseModel):
    first_stage: FirstStageName


def test_a_field_of_a_model_takes_a_known_name_alone() -> None:
    assert Request(first_stage="dense").first_stage == "dense"
    with pytest.raises(ValidationError, match="there is no first stage 'splade'"):
        Request(first_stage="splade")


def test_the_json_schema_of_a_field_lists_the_built_in_names() -> None:
    schema = Request.model_json_schema()["properties"]["first_stage"]
    assert schema["enum"] == ["bm25", "dense", "hybrid", "sparse"]


def test_importing_the_package_reads_no_entry_points(tmp_path: Path) -> None:
    program = "import sys, rerank_search; sys.exit('importlib.metadata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=tmp_path).returncode == 0
