from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Called = Program = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., Result]

HEAVY = ("torch", "faiss", "fastapi", "sentence_transformers", "tantivy", "bm25s", "datasets")


def imported_by(statement: str) -> set[str]:
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return set(done.stdout.decode().split())


def test_the_public_names_do_not_import_heavy_libraries_either() -> None:
    names = "Document, Index, Searcher, CrossEncoderReranker, rank_texts"
    assert not imported_by(f"from rerank_search import {names}").intersection(HEAVY)


def test_the_help_needs_neither_models_nor_tables() -> None:
    modules = imported_by("import rerank_search.cli.main")
    assert not modules.intersection((*HEAVY, "numpy", "pydantic", "rich"))


def test_every_command_has_help(run: Run) -> None:
    index = ("build", "create", "add", "delete", "info", "list", "verify", "rebuild", "compact")
    for command in [
        (),
        ("search",),
        ("train",),
        ("evaluate",),
        ("compare",),
        ("calibrate",),
        ("backends",),
        ("models",),
        ("push",),
        ("demo",),
        *(("index", name) for name in index),
    ]:
        result = run(*command, "--help")
        assert result.exit_code == 0
        assert "Usage: " in result.stdout


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version").stdout.startswith("rerank-search 0.")


def test_an_unknown_option_is_wrong_usage(called: Called) -> None:
    done = called("search", "--no-such-option")
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr


def test_an_argument_that_cannot_be_used_is_wrong_usage(folder: Path, called: Called) -> None:
    done = called("index", "build", "nowhere.toml")
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere.toml cannot be read")


def test_a_failure_is_one_line_that_says_what_to_do(folder: Path, called: Called) -> None:
    done = called("index", "info", "nowhere")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert "rerank-search index create" in done.stderr


LONG = "a" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ("index", "create", "/proc/new", "--no-encoder"),
        ("index", "create", "/dev/null/new", "--no-encoder"),
        ("index", "create", LONG, "--no-encoder"),
        ("index", "build", f"{LONG}.toml"),
        ("index", "info", LONG),
        ("search", LONG, "a query"),
        ("mcp", LONG),
        ("key", "add", "reader", "--file", "/proc/keys.json"),
        ("key", "add", "reader", "--file", f"{LONG}.json"),
        ("calibrate", LONG, LONG),
        ("compare", LONG, LONG),
        ("train", f"{LONG}.toml"),
        ("evaluate", "cranfield", "--output", "/proc/report"),
    ],
)
def test_a_path_that_cannot_be_used_is_named_with_what_to_do(
    folder: Path, called: Called, arguments: tuple[str, ...]
) -> None:
    if "evaluate" in arguments:
        (folder / "cranfield").mkdir()
        (folder / "cranfield" / "corpus.jsonl").write_text('{"_id": "a", "text": "flow"}\n')
        (folder / "cranfield" / "queries.jsonl").write_text('{"_id": "q", "text": "flow"}\n')
        (folder / "cranfield" / "qrels").mkdir()
        (folder / "cranfield" / "qrels" / "test.tsv").write_text(
            "query-id\tcorpus-id\tscore\nq\ta\t1\n"
        )
    done = called(*arguments)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "Errno" not in line
    assert "/proc/" in line or "/dev/null/" in line or LONG in line
    assert "choose" in line or "check the path" in line


def test_a_malformed_document_is_a_failure(notes: Path, called: Called) -> None:
    Path("bad.jsonl").write_text("nonsense\n")
    assert called("index", "add", "notes", "bad.jsonl").returncode == 1


def test_the_traceback_is_shown_on_request(folder: Path, program: Program) -> None:
    done = program("index", "info", "nowhere", RERANK_SEARCH_DEBUG="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "IndexNotFoundError" in done.stderr


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="signals and pipes of Unix")
def test_an_interrupt_ends_with_130_and_a_word(notes: Path) -> None:
    # A test run in the background of a script passes on that SIGINT is ignored.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = heed + "from rerank_search.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "index", "add", "notes", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    lines = b"".join(b'{"id": "%d", "text": "x"}\n' % n for n in range(20_000))
    process.stdin.write(lines)  # returns after the command has read more than a pipe holds
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    # On a busy machine it may already have reported progress.
    said = [line for line in stderr.decode().splitlines() if not line.startswith("adding to")]
    assert said == ["interrupted"]


INTERRUPTED_IMPORT = """
import os, signal, sys
from importlib.abc import MetaPathFinder
from rerank_search.__main__ import main


class Interrupted(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)


signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupted())
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_an_interrupt_while_the_command_line_is_imported_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_the_entry_point_imports_nothing_heavy_before_it_can_be_interrupted() -> None:
    assert not imported_by("import rerank_search.__main__").intersection((*HEAVY, "typer"))


@pytest.mark.skipif(os.name == "nt", reason="signals and pipes of Unix")
def test_a_reader_that_goes_away_is_no_reason_for_a_message(notes: Path) -> None:
    command = "from rerank_search.cli.main import main; main()"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", command, "index", "info", "notes"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 1


def test_a_setting_that_cannot_be_used_is_one_line_too(folder: Path, called: Called) -> None:
    for variable in ("RERANK_SEARCH_OFFLINE", "RERANK_SEARCH_DEBUG"):
        done = called("index", "info", "nowhere", **{variable: "perhaps"})
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: the environment variable {variable}")
        assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [("index", "info", "notes"), ("index", "list")])
def test_an_output_that_cannot_be_written_is_one_line(notes: Path, arguments: list[str]) -> None:
    command = "from rerank_search.cli.main import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", command, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="a shell of Unix")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_closed_stream_is_an_empty_one(notes: Path, closed: str) -> None:
    command = "from rerank_search.cli.main import main; main()"
    for arguments in ("index add notes -", "search notes path --no-rerank"):
        line = f'"{sys.executable}" -c "{command}" {arguments} {closed}'
        done = subprocess.run(
            ["sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_an_error_about_a_file_sends_no_control_sequences_to_the_terminal(
    notes: Path, folder: Path, called: Called
) -> None:
    (folder / "odd.csv").write_text("key\x1b[31m,text\na,b\n")
    result = called("index", "add", "notes", "odd.csv")
    assert result.returncode == 2
    assert "the header (key [31m, text)" in result.stderr
    assert "\x1b" not in result.stderr
