from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError, ModelNotFoundError
from rerank_search.planning import Goal, Profile, make_plan
from rerank_search.planning.measuring import Amounts, measure_profile

FEW = Amounts(
    documents=(40, 160),
    words=20,
    exact=(40, 80),
    graph=(60, 120),
    searches=6,
    texts=(2, 4),
    pairs=(2, 4),
    text_words=(3, 8),
    calls=2,
)


@contextlib.contextmanager
def telling(what: str) -> Iterator[None]:
    yield


@pytest.fixture(scope="module")
def measured(tiny_reranker: Path, tiny_encoder: Path) -> Profile:
    return measure_profile(
        rerankers=[str(tiny_reranker)], encoder=str(tiny_encoder), amounts=FEW, telling=telling
    )


def test_a_profile_is_measured_with_the_models_named(measured: Profile, tiny_reranker) -> None:
    [reranker] = measured.rerankers
    assert reranker.name == str(tiny_reranker)
    assert (reranker.backend, reranker.dtype) == ("torch", "float32")
    assert len(reranker.calls) == len(FEW.pairs) * len(FEW.text_words)
    assert measured.encoder.dimension == 32
    assert measured.machine.device == "cpu"


def test_sizes_are_those_of_what_was_made(measured: Profile) -> None:
    assert [each.size for each in measured.vectors[0].exact] == list(FEW.exact)
    few, many = (each.size for each in measured.text.searches)
    assert 40 * 10 < few < 40 * 40 < many
    # M = 32: 64 links of 4 bytes in the lowest layer.
    assert all(256 < each.graph_bytes_per_vector < 600 for each in measured.vectors)
    assert {each.dtype for each in measured.vectors} == {"float32", "float16", "int8"}


def test_a_measured_profile_can_be_planned_with(measured: Profile) -> None:
    goal = Goal(documents=1_000, qps=1, p99_ms=60_000)
    assert make_plan(goal, measured).possible
    assert make_plan(replace(goal, vector_search="exact"), measured).possible


@pytest.mark.parametrize("given", [{"rerankers": []}, {"dtypes": []}], ids=str)
def test_a_measurement_without_models_is_refused(given) -> None:
    [name] = given
    with pytest.raises(InvalidInputError, match=f"{name} is empty"):
        measure_profile(**given, amounts=FEW, telling=telling)


def test_models_that_cannot_be_measured_are_refused(tiny_reranker: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        measure_profile(rerankers=["nowhere"], amounts=FEW, telling=telling)
    with pytest.raises(InvalidInputError, match="int3"):
        measure_profile(
            rerankers=[str(tiny_reranker)], dtypes=["int3"], amounts=FEW, telling=telling
        )
