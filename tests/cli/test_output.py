from __future__ import annotations

import codecs
import os
import re
import subprocess
import sys
from contextlib import suppress
from io import StringIO

import pytest
from rich.table import Table

from rerank_search.cli.output import console, print_table, progress, waiting


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
    with progress("indexing", 3) as tick, waiting("loading the models"):
        tick(3)
    assert capsys.readouterr() == ("", "")


COUNTING = """
import sys
from rerank_search.cli import output
output.A_LINE_EVERY = 0.01
with output.progress("indexing", {total}) as tick:
    tick(500)
    sys.stdin.readline()
    tick(1000)
    sys.stdin.readline()
"""
WAITING = """
import sys
from rerank_search.cli import output
output.A_LINE_EVERY = 0.01
with output.waiting("loading the models"):
    sys.stdin.readline()
"""


def started(code: str, stderr: int, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "TERM": "xterm", **environment},
    )


def go_on(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def line_with(process: subprocess.Popen[bytes], wanted: str) -> str:
    assert process.stderr is not None
    return next(line for line in map(bytes.decode, process.stderr) if wanted in line)


@pytest.mark.parametrize(
    ("total", "counts"),
    [
        (2000, r"1,500 of 2,000, [\d,.e+]+/s, \d:\d\d:\d\d left"),
        (0, r"1,500, [\d,.e+]+/s, \d:\d\d:\d\d"),
    ],
)
def test_a_pipe_has_a_line_every_few_seconds_with_count_total_rate_and_time_left(total, counts):
    with started(COUNTING.format(total=total), subprocess.PIPE) as process:
        first = line_with(process, "500")
        again = line_with(process, "500")  # the clock prints it again: nothing was counted since
        go_on(process)
        last = line_with(process, "1,500")
        go_on(process)
    assert process.returncode == 0
    assert first.startswith("indexing: 500")
    assert again.startswith("indexing: 500")
    assert re.fullmatch(f"indexing: {counts}\n", last)


def test_a_pipe_hears_for_how_long_something_without_a_count_takes():
    with started(WAITING, subprocess.PIPE) as process:
        line = line_with(process, "loading")
        go_on(process)
    assert re.fullmatch(r"loading the models: \d+ s\n", line)


def test_a_dumb_terminal_has_lines_too(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    with progress("indexing", 3) as tick, waiting("loading the models"):
        tick(3)
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("columns", ["120", "60"])
def test_a_terminal_has_a_bar_with_count_total_rate_and_time_left(columns):
    import pty

    ours, theirs = pty.openpty()
    decoder = codecs.getincrementaldecoder("utf-8")()
    with started(COUNTING.format(total=2000), theirs, COLUMNS=columns) as process:
        os.close(theirs)
        go_on(process)
        read = shown = ""
        bar = re.compile(r"indexing [━╸╺]+ 1,500 of 2,000, [\d,.e+]+/s, \d:\d\d:\d\d left")
        while not bar.search(shown):
            read += decoder.decode(os.read(ours, 65536))
            shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", read)
        go_on(process)
        with suppress(OSError):  # the process has ended and closed the other end
            while os.read(ours, 65536):
                pass
    os.close(ours)
    assert process.returncode == 0
    assert max(map(len, re.split(r"[\r\n]+", shown))) <= int(columns)


def test_waiting_is_shown_on_a_terminal(monkeypatch):
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


def table(*words: str) -> Table:
    made = Table("name", "text", "figure", title="the title")
    for word in words:
        made.add_row(word, "some words " * 20, "0.5000")
    made.columns[0].overflow = "fold"
    made.columns[2].no_wrap = True
    return made


@pytest.mark.parametrize("columns", [None, "40", "120"])
def test_a_table_in_a_pipe_breaks_no_word(monkeypatch, capsys, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    words = ["x" * 70, "y" * 30, "日本" * 9]
    print_table(table(*words))
    printed = capsys.readouterr().out.split()
    assert [word for word in printed if word in words] == words
    assert printed.count("0.5000") == 3
    assert printed.count("words") == 60


@pytest.mark.parametrize(
    ("columns", "width"), [(None, 100), ("60", 60), ("140", 140), ("0", 100), ("wide", 100)]
)
def test_a_table_in_a_pipe_is_as_wide_as_columns_says(monkeypatch, capsys, columns, width):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    print_table(table("short"))
    assert max(map(len, capsys.readouterr().out.splitlines())) == width


def test_a_table_on_a_terminal_is_no_wider_than_it(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    print_table(table("x" * 70))
    lines = re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue()).splitlines()
    assert max(map(len, lines)) == 60
    assert sum(line.count("x") for line in lines) == 71  # one of them is in "text"
