"""``rerank-search key``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="API keys of `rerank-search serve`.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the key; logs show it.")]
File = Annotated[Path, typer.Option("--file", help="File of the keys, without their secrets.")]


@app.command("add")
def add(
    name: Name,
    file: File,
    write: Annotated[
        bool, typer.Option("--write", help="Allow changing indexes, not only searching.")
    ] = False,
    index: Annotated[
        list[str],
        typer.Option(
            help="Name of an index that the key opens; all others seem not to exist. Repeatable.  "
            "[default: all]"
        ),
    ] = [],  # noqa: B006 (typer copies it)
) -> None:
    """Create a key and print its secret, which is not stored."""
    from rerank_search.serving.keys import add_key

    typer.echo(add_key(file, name, "write" if write else "read", index or None))


@app.command("remove")
def remove(name: Name, file: File) -> None:
    """Remove a key; a running server refuses it from then on."""
    from rerank_search.serving.keys import remove_key

    remove_key(file, name)


@app.command("list")
def list_keys(file: File) -> None:
    """List the keys of a file."""
    from rerank_search.serving.keys import read_keys

    for key in read_keys(file):
        only = "" if key.indexes is None else f"\t{', '.join(sorted(key.indexes))}"
        typer.echo(f"{key.name}\t{key.scope}\t{key.created:%Y-%m-%d}{only}")
