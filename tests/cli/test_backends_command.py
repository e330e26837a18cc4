from __future__ import annotations

from rerank_search.errors import ModelNotFoundError
from rerank_search.reranking.base import Backend, Dtype


def test_backends_are_listed_the_fastest_first(run, answer, tiny_reranker, folder, monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(folder / "cache"))
    found = answer("backends", str(tiny_reranker))
    measured = [each["pairs_per_second"] for each in found if not each["missing"]]
    assert measured == sorted(measured, reverse=True)
    assert all(each["pairs_per_second"] is None for each in found if each["missing"])
    names = {(each["backend"], each["dtype"]) for each in found}
    assert ("torch", "float32") in names
    assert {backend for backend, _ in names} == set(Backend.__args__)
    assert {dtype for _, dtype in names} == set(Dtype.__args__) - {"float16"}

    lines = run("backends", str(tiny_reranker)).stdout.splitlines()
    [taken] = [line for line in lines if "searches take it" in line]
    fastest = next(each for each in found if each["dtype"] != "int8")
    assert taken.split()[:2] == [fastest["backend"], fastest["dtype"]]
    assert all("only where it is asked for" in line for line in lines if " int8 " in line)


def test_a_model_that_is_not_there_has_no_backends(run):
    error = run("backends", "no-such-model-anywhere").exception
    assert isinstance(error, ModelNotFoundError)
