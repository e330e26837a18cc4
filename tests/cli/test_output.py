from __future__ import annotations

import sys
from io import StringIO

import pytest

from rerank_search.cli import output
from rerank_search.cli.output import console, progress, waiting


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("total", [0, 5])
@pytest.mark.parametrize("description", ["[red]x[/red]", "[/]", ":boat: {task}"])
def test_progress_on_a_terminal_shows_its_description_as_it_is(monkeypatch, description, total):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress(description, total) as tick:
        tick(2)
        tick(1.0)
    assert description in terminal.getvalue()


def test_a_log_hears_nothing_of_short_work(capsys):
    with progress("indexing", 3) as tick:
        tick(3)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("total", "of"), [(2000, " of 2,000"), (0, "")])
def test_a_log_has_a_line_now_and_then_of_long_work(monkeypatch, capsys, total, of):
    monkeypatch.setattr(output, "A_LINE_EVERY", 0)
    with progress("indexing", total) as tick:
        tick(500)
        tick(1000)
    assert capsys.readouterr() == ("", f"indexing: 500{of}\nindexing: 1,500{of}\n")


def test_waiting_is_shown_on_a_terminal_only(monkeypatch, capsys):
    with waiting("loading the models"):
        pass
    assert capsys.readouterr() == ("", "")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with waiting("loading the models"):
        pass
    assert "loading the models" in terminal.getvalue()


@pytest.mark.parametrize("text", ["[red]x[/red]", "[/]", ":boat:"])
def test_tables_have_texts_as_they_are(capsys, text):
    console().print(text)
    assert capsys.readouterr().out == f"{text}\n"
