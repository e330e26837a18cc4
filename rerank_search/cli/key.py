"""``rerank-search key``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="API keys of `rerank-search serve`.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is; logs show it.")]
File = Annotated[Path, typer.Option("--file", help="The file of keys; secrets are not in it.")]


@app.command("add")
def add(
    name: Name,
    file: File,
    write: Annotated[
        bool, typer.Option("--write", help="Also for changing indexes, not for searching alone.")
    ] = False,
) -> None:
    """Make a key, and print its secret, which is not kept."""
    from rerank_search.serving.keys import add_key

    typer.echo(add_key(file, name, "write" if write else "read"))


@app.command("remove")
def remove(name: Name, file: File) -> None:
    """Remove a key; a server that runs refuses it from then on."""
    from rerank_search.serving.keys import remove_key

    remove_key(file, name)


@app.command("list")
def list_keys(file: File) -> None:
    """Show the keys of a file."""
    from rerank_search.serving.keys import read_keys

    for key in read_keys(file):
        typer.echo(f"{key.name}\t{key.scope}\t{key.created:%Y-%m-%d}")
