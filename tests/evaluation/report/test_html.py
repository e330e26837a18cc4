from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest

from rerank_search.errors import MissingDependencyError
from rerank_search.evaluation.report.build import build_report
from rerank_search.evaluation.report.html import html
from rerank_search.evaluation.report.movers import movers
from rerank_search.evaluation.results import Cell, FinishedRun

pytest.importorskip("matplotlib", reason="the extra eval is not installed")


def page_of(run: FinishedRun) -> str:
    return html(build_report(run), run)


def test_the_page_is_well_formed_with_unique_ids(finished: FinishedRun) -> None:
    root = ElementTree.fromstring(page_of(finished))
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    named = {element.get("aria-labelledby") for element in root.iter()} - {None}
    assert named <= set(ids)


def test_the_page_loads_nothing(finished: FinishedRun) -> None:
    page = page_of(finished)
    assert not re.search(r"https?://|<script|<link|<img|@import|src=|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_texts_are_escaped(finished: FinishedRun) -> None:
    page = page_of(finished)
    assert "a &lt;script&gt;alert(1)&lt;/script&gt; question" in page
    assert "title of notes/test d &amp; &lt;b&gt;more&lt;/b&gt;" in page


def test_names_are_escaped_in_tables_and_plots(
    cell: Callable[..., Cell], run: Callable[..., FinishedRun]
) -> None:
    page = page_of(run([cell(10, "<b>&$x$"), cell(20, "<b>&$x$")], name="<i>"))
    ElementTree.fromstring(page)
    assert "<b>" not in page
    assert "<i>" not in page


def test_tables_and_plots_have_names_and_headers(finished: FinishedRun) -> None:
    root = ElementTree.fromstring(page_of(finished))
    for table in root.iter("table"):
        assert table.findtext("caption")
        assert all(header.get("scope") in ("row", "col") for header in table.iter("th"))
    figures = list(root.iter("figure"))
    assert [figure.findtext("figcaption") for figure in figures] == [
        "nDCG@10 against the time of a search; beside the points: candidates",
        "nDCG@10 against the number of bm25 candidates",
        "bm25@20+tiny minus its first stage, query by query",
        "Precision against recall on items/test",
    ]
    words = [figure.find("div").get("aria-label", "") for figure in figures]  # type: ignore[union-attr]
    assert "bm25 + tiny: 0.833 in 12 ms with 10, 0.833 in 22 ms with 20" in words[0]
    assert "tiny, retrieved: 0.833 at 10, 0.833 at 20" in words[1]
    assert words[2] == "2 queries gained, 1 lost, 0 stayed as they were."


def test_depths_are_written_beside_the_points_of_what_is_reranked_alone(
    cell: Callable[..., Cell], run: Callable[..., FinishedRun]
) -> None:
    cells = [cell(depth, reranker) for depth in (30, 70) for reranker in (None, "tiny")]
    root = ElementTree.fromstring(page_of(run(cells)))
    [against_time] = [figure for figure in root.iter("figure") if figure.get("class") == "wide"]
    texts = [text.text for text in against_time.iter("text")]
    assert (texts.count("30"), texts.count("70")) == (1, 1)


def test_one_depth_needs_no_plot_of_depths(
    cell: Callable[..., Cell], run: Callable[..., FinishedRun]
) -> None:
    page = page_of(run([cell(10, "tiny", cost=None)]))
    assert "against the number" not in page
    assert "against the time" not in page


def test_the_queries_that_moved_most_come_with_their_first_results(finished: FinishedRun) -> None:
    gains, losses = movers(finished, finished.cells[1])
    assert [(mover.query, mover.change) for mover in gains] == [("q1", 1.0), ("q2", 0.5)]
    assert [(mover.query, mover.change) for mover in losses] == [("q3", -0.5)]
    assert [result.id for result in gains[0].results_before] == ["a", "b", "c"]
    assert [result.id for result in gains[0].results_after] == ["d", "c", "b"]
    assert gains[0].results_after[0].title == "title of notes/test d & <b>more</b>"
    assert gains[1].results_after == []


def test_of_the_results_shown_it_is_said_whether_they_are_relevant(
    cell: Callable[..., Cell], run: Callable[..., FinishedRun]
) -> None:
    qrels = {"notes/test": {"q1": {"d": 2, "c": 1}}}
    finished = run([cell(10, "tiny", relevant_from=2)], qrels=qrels)
    results = movers(finished, finished.cells[0])[0][0].results_after
    assert [(result.id, result.grade, result.relevant) for result in results] == [
        ("d", 2, True),
        ("c", 1, False),
        ("b", None, False),
    ]
    root = ElementTree.fromstring(page_of(finished))
    shown = [" ".join("".join(item.itertext()).split()) for item in root.iter("li")]
    for ending in ("d relevant (2)", "c not relevant (1)", "b not judged"):
        assert [text for text in shown if text.endswith(ending)]


def test_a_run_without_anything_is_a_page(run: Callable[..., FinishedRun]) -> None:
    assert "Environment" in page_of(run([]))


def test_the_module_is_light_and_a_missing_library_is_named(
    monkeypatch: pytest.MonkeyPatch, finished: FinishedRun
) -> None:
    program = "import sys, rerank_search.evaluation.report.write; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert not {"matplotlib", "jinja2", "scipy", "torch"}.intersection(done.stdout.decode().split())
    for name, module in (("jinja2", "jinja2"), ("matplotlib", "matplotlib.figure")):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, module, None)
            with pytest.raises(MissingDependencyError, match=rf"{name}.*rerank-search\[eval\]"):
                page_of(finished)
