"""The command line: its commands, and how it shows errors."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from rerank_search.cli import (
    backends,
    calibrate,
    compare,
    demo,
    evaluate,
    mcp,
    models,
    plan,
    push,
    search,
    serve,
    train,
)
from rerank_search.cli.exit_codes import FAILED, INTERRUPTED, WRONG_USAGE
from rerank_search.cli.index import app as index_app
from rerank_search.cli.key import app as key_app
from rerank_search.errors import InvalidDocumentError, InvalidInputError, RerankSearchError
from rerank_search.files import impossible_path
from rerank_search.shown import on_one_line

app = typer.Typer(
    name="rerank-search",
    help="Two-stage search: BM25 and dense retrieval, then a cross-encoder.",
    no_args_is_help=True,
    # Plain help and errors: one line each in a pipe, and a start without loading rich.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(index_app, name="index")
app.command("search")(search.search)
app.command("serve")(serve.serve)
app.command("mcp")(mcp.mcp)
app.add_typer(key_app, name="key")
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("train")(train.train)
app.command("calibrate")(calibrate.calibrate)
app.command("backends")(backends.backends)
app.command("models")(models.models)
app.command("plan")(plan.plan)
app.command("push")(push.push)
app.command("demo")(demo.demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"rerank-search {version('rerank-search')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Two-stage search: BM25 and dense retrieval, then a cross-encoder."""


def main() -> None:
    """Run the command line and exit: 0 success, 1 failure, 2 wrong usage, 130 interrupted."""
    _quiet_models()
    _prepare_streams()
    sys.exit(_run())


def _run() -> int:
    try:
        app()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else FAILED
    except (RerankSearchError, OSError) as error:
        status = _failed(error)
    if status == INTERRUPTED:
        typer.echo("interrupted", err=True)
    try:
        sys.stdout.flush()
    except OSError as error:
        # A reader that closed the pipe (`| head`) is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILED if isinstance(error, BrokenPipeError) else _failed(error)
    return status


def _failed(error: RerankSearchError | OSError) -> int:
    if _debugging():
        raise error
    said = str(error)
    if isinstance(error, OSError) and isinstance(error.filename, str):
        said = f"{error.filename}: {error.strerror}"  # without the number
        if (impossible := impossible_path(error, Path(error.filename))) is not None:
            error, said = impossible, str(impossible)
    typer.echo(f"error: {on_one_line(said)}", err=True)
    # A malformed document comes from a file; the other invalid values are arguments.
    of_usage = isinstance(error, InvalidInputError) and not isinstance(error, InvalidDocumentError)
    return WRONG_USAGE if of_usage else FAILED


def _debugging() -> bool:
    from rerank_search.settings import Settings

    try:
        return Settings().debug
    except InvalidInputError:  # an invalid variable: most likely the error to show
        return False


def _prepare_streams() -> None:
    # Replace a stream that the caller closed by an empty one. Otherwise the next opened file, such
    # as the documents, would get its number, and with it everything that libraries print.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Do not fail because a terminal cannot show a character of a document.
            stream.reconfigure(errors="replace")


def _quiet_models() -> None:
    """Keep the libraries' loading bars and advice out of the output."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
