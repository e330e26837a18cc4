"""The package of docs/extending.md, which tests/documentation/ runs too, and broken packages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder

import rerank_search
from rerank_search import Document, Index, PluginError, Searcher
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import experiment_of
from rerank_search.retrieval.registry import names

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
RECENT_LINE = re.search(r"`(recent = .*?)`", PAGE)[1]


def install(project: Path, site: Path, pyproject: str) -> None:
    """Install the project into ``site``, as ``pip install`` does."""
    (project / "pyproject.toml").write_text(pyproject)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*command, "--no-build-isolation", "--target", str(site), str(project)], check=True
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the page's package installed."""
    project, site = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("site")
    (project / "my_search").mkdir()
    for name in ("substring", "overlap", "recent", "fts5"):
        (project / "my_search" / f"{name}.py").write_text(FILES[f"my_search/{name}.py"])
    (project / "my_search" / "__init__.py").touch()
    (project / "my_search" / "broken.py").write_text("import a_module_that_nobody_has")
    entries = [RECENT_LINE, 'broken = "my_search.broken:Anything"', 'number = "math:pi"']
    first, second = '"my_search.substring:Substring"', '"my_search.overlap:Overlap"'
    more = [*entries[1:], 'nothing = "types:SimpleNamespace"']
    pyproject = (
        FILES["pyproject.toml"]
        .replace(first, "\n".join([first, *entries]))
        .replace(second, "\n".join([second, *more]))
    )
    install(project, site, pyproject)
    return site


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(site))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "my_search"]:
        del sys.modules[name]


@pytest.fixture
def index(installed: None, tmp_path: Path) -> Iterator[Index]:
    with Index.create(tmp_path / "notes", encoder=None, first_stages=["substring"]) as index:
        index.add(
            [
                Document("a", "Join two paths.", metadata={"year": 2001}),
                Document("b", "Two paths join in the wood.", metadata={"year": 2024}),
            ]
        )
        yield index


def test_its_names_are_known_after_the_built_in_ones(installed: None) -> None:
    assert names() == (
        "bm25",
        "dense",
        "hybrid",
        "sparse",
        "broken",
        "number",
        "recent",
        "substring",
    )


def test_an_index_lists_its_first_stages_and_keeps_its_default(index: Index) -> None:
    assert index.first_stages == ("substring", "bm25")
    response = Searcher(index, reranker=None).search("paths join")
    assert response.first_stage == "bm25"


def test_an_engine_follows_every_change(index: Index) -> None:
    def found(query: str) -> list[str]:
        return [hit.id for hit in index.retriever("substring").retrieve([query], 5)[0]]

    assert found("paths") == ["a", "b"]
    index.delete(["a"])
    assert found("paths") == ["b"]
    index.compact()
    index.rebuild()
    assert (found("paths"), index.verify()) == (["b"], [])


def test_a_reader_sees_what_a_writer_publishes(index: Index) -> None:
    with Index.open(index.path, read_only=True) as reader:
        index.add([Document("c", "paths join")])
        [hits] = reader.retriever("substring").retrieve(["paths join"], 5)
        assert [hit.id for hit in hits] == ["c", "b"]


def test_stage_scores_have_those_of_the_engine(index: Index) -> None:
    rankings = index.retriever("bm25").retrieve(["paths join"], 5)
    [hits] = index.stage_scores(["paths join"], rankings)
    assert {hit.id: hit.stage_scores["substring"] > 0 for hit in hits} == {"a": False, "b": True}


def test_a_first_stage_made_of_others_works_in_any_index(installed: None, tmp_path: Path) -> None:
    with Index.create(tmp_path / "plain", encoder=None) as index:
        index.add([Document("a", "paths", metadata={"year": 1}), Document("b", "two paths")])
        [hits] = index.retriever("recent").retrieve(["paths"], 5)
        assert [(hit.id, hit.score) for hit in hits] == [("a", 1.0), ("b", 0.0)]
        assert index.first_stages == ("bm25",)


def test_an_engine_that_the_index_was_not_made_with_is_refused(
    installed: None, tmp_path: Path
) -> None:
    with (
        Index.create(tmp_path / "plain", encoder=None) as index,
        pytest.raises(InvalidInputError, match=r"has no first stage 'substring'"),
    ):
        index.retriever("substring")


@pytest.mark.parametrize("name", ["broken", "number"])
def test_an_unusable_first_stage_is_an_error_that_names_the_package_when_used(
    index: Index, name: str
) -> None:
    assert name in names()
    with pytest.raises(PluginError, match="my-search"):
        index.retriever(name)


@pytest.mark.parametrize("name", ["broken", "number", "nothing"])
def test_an_unusable_reranker_is_an_error_that_names_the_package(index: Index, name: str) -> None:
    with pytest.raises(PluginError, match="my-search"):
        Searcher(index, reranker=name)


def test_without_its_package_an_index_is_searched_by_its_other_stages(
    index: Index, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(site)])
    with Index.open(index.path) as opened:
        [hits] = opened.retriever("bm25").retrieve(["wood"], 5)
        assert [hit.id for hit in hits] == ["b"]
        with pytest.raises(PluginError, match="'substring'"):
            opened.retriever("substring").retrieve(["wood"], 5)
        with pytest.raises(PluginError, match="'substring'"):
            opened.add([Document("c", "text")])


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A judged collection with one query, whose better document is b."""
    folder = tmp_path / "notes"
    (folder / "qrels").mkdir(parents=True)
    texts = {"a": "Join two paths.", "b": "Two paths join in the wood."}
    lines = [json.dumps({"_id": id, "text": text}) for id, text in texts.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "paths join"}))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tb\t1\n")
    return folder


CONSTANT = """
from rerank_search import Hit


class Constant:
    name = "constant"

    def __init__(self, index):
        pass

    def retrieve(self, queries, k, *, filter=None):
        return [[Hit("{id}", 1.0, 1, stage_scores={{"constant": 1.0}})] for _ in queries]
"""


def test_an_experiment_is_not_answered_by_an_older_version_of_a_first_stage(
    notes: Path, install_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(notes.parent / "cache"))
    declared = {"first_stages": ["constant"], "measures": ["P@1"], "cost_queries": 0}
    for id, right in (("a", 0.0), ("b", 1.0)):
        entries = {"rerank_search.retrievers": {"constant": "constant:Constant"}}
        install_package({"constant.py": CONSTANT.format(id=id)}, entries)
        experiment = experiment_of({"collections": [str(notes)], **declared})
        [system] = evaluate(experiment, notes.parent / "results").systems
        assert system.protocols["first_stage"]["P@1"] == right


def test_a_first_stage_that_every_index_has_is_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="first_stages has 'bm25'"):
        Index.create(tmp_path / "index", encoder=None, first_stages=["bm25"])
    assert list(tmp_path.iterdir()) == []


def test_the_loss_of_the_page_is_computed_from_the_logits_of_pairs(tiny_reranker: Path) -> None:
    made: dict[str, Any] = {}
    exec(FILES["hinge.py"], made)
    model = CrossEncoder(str(tiny_reranker), device="cpu")
    queries, texts, labels = ["river", "sea"], ["a river", "bread"], [1.0, 0.0]
    logits = model.predict(
        list(zip(queries, texts, strict=True)), activation_fn=torch.nn.Identity()
    )
    expected = (max(0, 2 - logits[0]) + max(0, 2 + logits[1])) / 2
    loss = made["Hinge"](model, margin=2.0)([queries, texts], torch.tensor(labels))
    assert loss.item() == pytest.approx(expected, abs=1e-5)


HYBRID_LINE = "    FirstStage(\n        HYBRID,"
BUILT_IN_LINES = """
    FirstStage("recent", "rerank_search.retrieval.recent:Recent", made_of=(BM25,)),
    FirstStage("substring", "rerank_search.retrieval.substring:Substring"),
"""
WITH_THEM = """
import sys
from rerank_search import Document, Index, Searcher

with Index.create(sys.argv[1], encoder=None, first_stages=["substring"]) as index:
    index.add([Document("a", "two paths", metadata={"year": 1}),
               Document("b", "two paths join", metadata={"year": 2})])
    searcher = Searcher(index, None)
    print(*index.first_stages)
    for stage in index.first_stages:
        print(stage, *[hit.id for hit in searcher.search("paths join", first_stage=stage).hits])
    print(searcher.search("paths join").first_stage)
"""


@pytest.mark.process
def test_a_line_of_the_registry_adds_a_first_stage_to_this_package(tmp_path: Path) -> None:
    package = tmp_path / "copy" / "rerank_search"
    original = Path(rerank_search.__file__).parent
    shutil.copytree(original, package, ignore=shutil.ignore_patterns("*.safetensors"))
    for name in ("recent", "substring"):
        (package / "retrieval" / f"{name}.py").write_text(FILES[f"my_search/{name}.py"])
    registry = package / "retrieval" / "registry.py"
    registry.write_text(registry.read_text().replace(HYBRID_LINE, BUILT_IN_LINES + HYBRID_LINE))
    done = subprocess.run(
        [sys.executable, "-c", WITH_THEM, str(tmp_path / "notes")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "substring bm25 recent",
        "substring b",
        "bm25 b a",
        "recent b a",
        "recent",
    ]
