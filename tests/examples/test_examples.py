"""Every example runs as it is, on a small index of the name that examples use."""

from __future__ import annotations

import importlib
import inspect
import runpy
import sys
import warnings
from pathlib import Path

import pytest

from rerank_search import Document, Index

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "extractive")
COMPARING = {"replacements"}
"""Examples that compare classes instead of answering."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the index python-docs: what functions of a few modules do, in a paragraph."""
    folder = tmp_path_factory.mktemp("examples")
    with Index.create(folder / "indexes" / "python-docs", encoder=None) as index:
        index.add(
            Document(f"{module}.{name}", text.partition("\n\n")[0])
            for module in ("os", "shutil", "json")
            for name, member in vars(importlib.import_module(module)).items()
            if not name.startswith("_") and callable(member) and (text := inspect.getdoc(member))
        )
    return folder


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Runs an example, and returns what it printed."""
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # otherwise DSPy uses the network
    monkeypatch.setenv("DSPY_CACHEDIR", str(home / "dspy"))
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    monkeypatch.setenv("RERANK_SEARCH_OFFLINE", "1")

    def start(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the frameworks' own imports
            runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capfd.readouterr().out

    return start


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in COMPARING])
def test_an_example_answers_from_the_right_source(run, name: str) -> None:
    answer = run(name).splitlines()[0]
    assert "copied" in answer or "copy" in answer.lower()
    assert answer.endswith("]")


@pytest.mark.slow
def test_what_replaces_a_class_finds_the_same(run) -> None:
    pytest.importorskip("haystack_integrations.components.rankers.sentence_transformers")
    found = [line.rpartition("best: ")[2] for line in run("replacements").splitlines()]
    assert len(found) == 6
    assert found[::2] == found[1::2]


@pytest.mark.slow
def test_a_question_may_be_given(run) -> None:
    assert "json" in run("library_rag", "how do I write an object as JSON").lower()


def test_every_example_is_described() -> None:
    text = (EXAMPLES / "README.md").read_text()
    assert [name for name in PROGRAMS if f"{name}.py" not in text] == []
