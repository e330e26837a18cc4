"""``rerank-search push``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rerank_search.cli.output import Json, note, print_json, waiting


def push(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Output folder of `rerank-search train`.")
    ],
    repository: Annotated[
        str,
        typer.Argument(metavar="REPO", help="Repository on the hub: NAME or ORGANISATION/NAME."),
    ],
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private.")
    ] = False,
    message: Annotated[
        str, typer.Option(metavar="TEXT", help="Message of the commit.")
    ] = "Upload the model",
    as_json: Json = False,
) -> None:
    """Upload a model to the Hugging Face hub, without checkpoints and training data.

    The token comes from HF_TOKEN or `hf auth login`; HF_ENDPOINT names another hub.
    """
    from rerank_search.training.publish.push import push as upload

    with waiting("uploading"):
        pushed = upload(model, repository, private=private, message=message)
    if as_json:
        print_json(pushed)
        return
    typer.echo(f"pushed {pushed.url}")
    if pushed.left_out:
        note(f"left out: {', '.join(pushed.left_out)}")
