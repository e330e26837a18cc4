"""The reference has every public name, and the examples in its docstrings run."""

from __future__ import annotations

import doctest
import re
import sys
from collections.abc import Iterator
from inspect import ismodule
from pathlib import Path
from pkgutil import resolve_name

import pytest

import haystack_integrations.components.rankers.rerank_search as haystack_ranker
import haystack_integrations.components.retrievers.rerank_search as haystack_retriever
import haystack_integrations.document_stores.rerank_search as haystack_store
import rerank_search
import rerank_search.client
import rerank_search.index
import rerank_search.planning
import rerank_search.plugins.dspy
import rerank_search.plugins.haystack
import rerank_search.plugins.langchain
import rerank_search.plugins.llama_index
import rerank_search.plugins.mcp
import rerank_search.stores
from rerank_search import Searcher

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@pytest.fixture(scope="module")
def shown() -> list[object]:
    """Everything that has a place in the reference; the members of a module have one too."""
    pages = "".join(page.read_text() for page in REFERENCE.glob("*.md"))
    named = map(resolve_name, re.findall(r"^::: (\S+)", pages, re.MULTILINE))
    return [each for one in named for each in (vars(one).values() if ismodule(one) else [one])]


@pytest.mark.parametrize(
    "module",
    [
        rerank_search,
        rerank_search.client,
        rerank_search.index,
        rerank_search.planning,
        rerank_search.plugins.dspy,
        rerank_search.plugins.haystack,
        rerank_search.plugins.langchain,
        rerank_search.plugins.llama_index,
        rerank_search.plugins.mcp,
        rerank_search.stores,
        haystack_ranker,
        haystack_retriever,
        haystack_store,
    ],
    ids=lambda m: m.__name__,
)
def test_the_reference_has_every_public_name(module, shown) -> None:
    places = {id(each) for each in shown}
    names = {*module.__all__} - {"__version__"}
    assert {name for name in names if id(getattr(module, name)) not in places} == set()


@pytest.fixture(scope="module")
def searcher(after_start_page: Path) -> Iterator[Searcher]:
    """A searcher of the index of the start page."""
    with rerank_search.Index.open(after_start_page / "indexes/notes") as index:
        yield Searcher(index)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *(
            f"rerank_search.{name}"
            for name in ("Searcher", "SearchOptions", "rank_texts", "CrossEncoderReranker")
        ),
        *("rerank_search.CrossEncoder", "rerank_search.Cascade"),
        *(
            f"{module.__name__}.{name}"
            for module in (
                rerank_search.plugins.dspy,
                rerank_search.plugins.haystack,
                rerank_search.plugins.langchain,
                rerank_search.plugins.llama_index,
                haystack_ranker,
                haystack_retriever,
                haystack_store,
            )
            for name in module.__all__
        ),
    ],
)
def test_the_example_of_a_docstring_runs(
    name: str, reader, after_start_page: Path, searcher: Searcher
) -> None:
    reader(after_start_page)
    described = resolve_name(name)
    known = vars(sys.modules[described.__module__])
    names = {each: getattr(rerank_search, each) for each in rerank_search.__all__}
    finder = doctest.DocTestFinder(recurse=False)
    [example] = finder.find(described, name, globs=names | known | {"searcher": searcher})
    assert example.examples
    shown: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    failed = runner.run(example, out=shown.append).failed
    assert not failed, "".join(shown)
