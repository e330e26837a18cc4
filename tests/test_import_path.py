from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError, PluginError, RerankSearchError
from rerank_search.import_path import checked_import_path, is_import_path, searchable_at

RETRIEVER = """
class Mine:
    name = "mine"
    def retrieve(self, queries, k, *, filter=None):
        return [[] for _ in queries]

retriever = Mine()
def make(): return Mine()
def nothing(): return None
def needs(path): return Mine()
def breaks(): raise OSError("no such store")
number = 3
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Writes a module that can be imported."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def written(text: str, name: str = "my_search") -> None:
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    yield written
    for name in set(sys.modules) - before:
        if name.startswith("my_search"):
            del sys.modules[name]


@pytest.mark.parametrize("name", ["retriever", "make", "Mine"])
def test_a_retriever_or_a_function_or_class_that_makes_one_is_searched(write, name: str) -> None:
    write(RETRIEVER)
    write(RETRIEVER, "my_search_parts/one")
    for module in ("my_search", "my_search_parts.one"):
        assert searchable_at(f"{module}:{name}").first_stages == ("mine",)


@pytest.mark.parametrize(
    "name", ["a:", ":b", "a:b:c", "a b:c", "a..b:c", "a/b:c", "a:b.c", "a:b()"]
)
def test_a_path_that_is_not_module_and_object_is_an_error(name: str) -> None:
    assert is_import_path(name)
    with pytest.raises(InvalidInputError, match="write module:object"):
        checked_import_path(name)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("my_serch:retriever", "there is no module 'my_serch'"),
        ("my_search.sub:retriever", "there is no module 'my_search.sub'"),
        ("my_search:retreiver", r"has no 'retreiver'. Did you mean 'retriever'\?"),
        ("my_search:number", "is 3, which cannot be searched: give a Retriever"),
        ("my_search:nothing", "is None, which cannot be searched"),
        ("my_search:needs", "cannot be called without arguments"),
    ],
)
def test_what_cannot_be_searched_is_an_error(write, path: str, message: str) -> None:
    write(RETRIEVER)
    with pytest.raises(InvalidInputError, match=message):
        searchable_at(path)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (RETRIEVER, "my_search:breaks", r"calling it failed \(OSError: no such store\)"),
        ("import no_such_package", "my_search:x", r"ModuleNotFoundError: No module named 'no_such"),
        ("1 / 0", "my_search:x", "importing it failed .ZeroDivisionError"),
        ("retriever =", "my_search:x", "importing it failed .SyntaxError"),
        ("import sys\nsys.exit(0)", "my_search:x", "importing it failed .SystemExit"),
    ],
)
def test_a_failure_of_the_code_is_told_with_its_cause(write, text, path, message) -> None:
    write(text)
    with pytest.raises(PluginError, match=message) as raised:
        searchable_at(path)
    assert raised.value.__cause__ is not None


def test_an_error_of_this_library_in_the_code_stays_what_it_is(write) -> None:
    write("from rerank_search import Index\ndef make(): return Index.open('nowhere')")
    with pytest.raises(RerankSearchError, match="nowhere"):
        searchable_at("my_search:make")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "stage"),
    [
        (
            "from langchain_core.embeddings import DeterministicFakeEmbedding\n"
            "from langchain_core.vectorstores import InMemoryVectorStore\n"
            "store = InMemoryVectorStore(DeterministicFakeEmbedding(size=4))",
            "langchain.LangChainStage",
        ),
        (
            "from haystack.components.retrievers.in_memory import InMemoryBM25Retriever\n"
            "from haystack.document_stores.in_memory import InMemoryDocumentStore\n"
            "store = InMemoryBM25Retriever(InMemoryDocumentStore())",
            "haystack.HaystackStage",
        ),
        (
            "from llama_index.core import MockEmbedding, VectorStoreIndex\n"
            "store = VectorStoreIndex([], embed_model=MockEmbedding(embed_dim=2)).as_retriever()",
            "llama_index.LlamaIndexStage",
        ),
    ],
)
def test_a_store_of_a_framework_is_told_to_be_wrapped(write, text: str, stage: str) -> None:
    write(text)
    with pytest.raises(InvalidInputError, match=f"wrap it in rerank_search.plugins.{stage}"):
        searchable_at("my_search:store")
