from __future__ import annotations

import pytest

from rerank_search.errors import ModelNotFoundError
from rerank_search.models.backends.kinds import Backend, Dtype


@pytest.mark.slow
def test_backends_are_listed_the_fastest_first(run, answer, tiny_reranker, folder, monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(folder / "cache"))
    monkeypatch.setenv("RERANK_SEARCH_BACKEND", "auto")
    monkeypatch.setenv("RERANK_SEARCH_DTYPE", "auto")
    found = answer("backends", str(tiny_reranker))
    measured = [each["pairs_per_second"] for each in found if not each["missing"]]
    assert measured == sorted(measured, reverse=True)
    assert all(each["pairs_per_second"] is None for each in found if each["missing"])
    names = {(each["backend"], each["dtype"]) for each in found}
    assert ("torch", "float32") in names
    assert {backend for backend, _ in names} == set(Backend.__args__)
    assert {dtype for _, dtype in names} == set(Dtype.__args__) - {"float16"}

    lines = run("backends", str(tiny_reranker)).stdout.splitlines()
    [taken] = [line for line in lines if "used by searches" in line]
    fastest = next(each for each in found if each["dtype"] != "int8")
    assert taken.split()[:2] == [fastest["backend"], fastest["dtype"]]
    assert all("used only if you ask for it" in line for line in lines if " int8 " in line)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "taken"), [("float32", ["torch", "float32"]), ("float16", [])])
def test_searches_use_a_backend_that_the_settings_allow(
    run, tiny_reranker, folder, monkeypatch, dtype, taken
):
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(folder / "cache"))
    monkeypatch.setenv("RERANK_SEARCH_DEVICE", "cpu")
    monkeypatch.setenv("RERANK_SEARCH_BACKEND", "torch")
    monkeypatch.setenv("RERANK_SEARCH_DTYPE", dtype)
    done = run("backends", str(tiny_reranker))
    lines = [line for line in done.stdout.splitlines() if "used by searches" in line]
    assert [word for line in lines for word in line.split()[:2]] == taken
    assert ("RERANK_SEARCH_DTYPE=float16" in done.stderr) == (not taken)


def test_a_model_that_is_not_there_has_no_backends(run):
    error = run("backends", "no-such-model-anywhere").exception
    assert isinstance(error, ModelNotFoundError)
