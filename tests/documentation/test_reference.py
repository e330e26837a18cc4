"""The reference has every public name, and the examples in its docstrings run."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import haystack_integrations.components.rankers.rerank_search as haystack_ranker
import haystack_integrations.components.retrievers.rerank_search as haystack_retriever
import haystack_integrations.document_stores.rerank_search as haystack_store
import rerank_search
import rerank_search.client
import rerank_search.errors
import rerank_search.index
import rerank_search.plugins.haystack
import rerank_search.plugins.langchain
import rerank_search.plugins.llama_index

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize(
    "module",
    [
        rerank_search,
        rerank_search.client,
        rerank_search.index,
        rerank_search.plugins.haystack,
        rerank_search.plugins.langchain,
        rerank_search.plugins.llama_index,
        haystack_ranker,
        haystack_retriever,
        haystack_store,
    ],
    ids=lambda m: m.__name__,
)
def test_the_reference_has_every_public_name(module) -> None:
    pages = "".join(page.read_text() for page in REFERENCE.glob("*.md"))
    shown = {name.rpartition(".")[2] for name in re.findall(r"^::: (\S+)", pages, re.MULTILINE)}
    shown |= {*vars(rerank_search.errors), "__version__"}
    assert {*module.__all__} - shown == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("Searcher", "SearchOptions", "rank_texts", "CrossEncoderReranker", "CrossEncoder"),
        *("Cascade", "HaystackStage", "LlamaIndexStage", *rerank_search.plugins.langchain.__all__),
    ],
)
def test_the_example_of_a_docstring_runs(name: str, reader, after_start_page: Path) -> None:
    reader(after_start_page)
    names = {
        each: getattr(module, each)
        for module in (
            rerank_search,
            rerank_search.plugins.haystack,
            rerank_search.plugins.llama_index,
            rerank_search.plugins.langchain,  # last: its names win over the same ones
        )
        for each in module.__all__
    }
    with rerank_search.Index.open("indexes/notes") as index:
        names["searcher"] = rerank_search.Searcher(index)
        finder = doctest.DocTestFinder(recurse=False)
        [example] = finder.find(names[name], name, module=False, globs=names)
        assert example.examples
        shown: list[str] = []
        failed = doctest.DocTestRunner(verbose=False).run(example, out=shown.append).failed
    assert not failed, "".join(shown)
