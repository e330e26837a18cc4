from __future__ import annotations

import logging
import math
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rerank_search.training.publish.plots import training_plots

HISTORY = [
    {"loss": 0.9, "grad_norm": 1.0, "learning_rate": 2e-5, "epoch": 0.1, "step": 10},
    {"eval_loss": 0.8, "eval_notes_ndcg@10": 0.5, "eval_runtime": 3.0, "epoch": 0.1, "step": 10},
    {"loss": 0.4, "grad_norm": 1.0, "learning_rate": 1e-5, "epoch": 0.2, "step": 20},
    {"eval_loss": 0.6, "eval_notes_ndcg@10": 0.7, "eval_runtime": 3.0, "epoch": 0.2, "step": 20},
    {"train_runtime": 9.0, "train_loss": 0.65, "epoch": 0.2, "step": 20},
]


@pytest.fixture(autouse=True)
def matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra eval")


def labels(path: Path) -> set[str]:
    """The words of a picture, which matplotlib writes as comments beside their outlines."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.parse(path, parser).getroot()
    return {(node.text or "").strip() for node in root.iter(ElementTree.Comment)}


def test_losses_and_measures_are_drawn_apart_and_times_are_not_drawn(tmp_path: Path) -> None:
    assert training_plots(HISTORY, tmp_path) == ["loss.svg", "measures.svg"]
    losses, measures = labels(tmp_path / "loss.svg"), labels(tmp_path / "measures.svg")
    assert losses >= {"step", "training loss", "loss"}
    assert "notes ndcg@10" not in losses
    assert measures >= {"step", "notes ndcg@10"}
    assert not measures & {"loss", "runtime"}


def test_a_run_that_was_not_evaluated_has_the_picture_of_its_loss_alone(tmp_path: Path) -> None:
    training_only = [entry for entry in HISTORY if "loss" in entry]
    assert training_plots(training_only, tmp_path) == ["loss.svg"]
    assert [path.name for path in tmp_path.iterdir()] == ["loss.svg"]


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    overflowed = [{"loss": math.nan, "step": 1}, {"loss": math.inf, "step": 2}]
    assert training_plots(overflowed, tmp_path) == []
    assert training_plots([*overflowed, {"loss": 1.0, "step": 3}], tmp_path) == ["loss.svg"]


@pytest.mark.training
def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        training_plots(HISTORY, folder)
    for name in ("loss.svg", "measures.svg"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_without_matplotlib_a_note_says_how_to_get_the_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with caplog.at_level(logging.WARNING):
        assert training_plots(HISTORY, tmp_path) == []
    assert "pip install 'rerank-search[eval]'" in caplog.text
