"""``rerank-search train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rerank_search.cli.output import Json, print_json


def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="Such as eval/recipes/NAME.toml.")
    ],
    override: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Replace a value of the recipe; repeatable."
        ),
    ] = [],  # noqa: B006 (typer copies it)
    as_json: Json = False,
) -> None:
    """Fine-tune a cross-encoder by a recipe."""
    from rerank_search.training.trainer import train as run

    overrides: dict[str, str] = {}
    for pair in override:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"--set {pair}: it is KEY=VALUE.")
        overrides[key] = value
    model = run(recipe, overrides=overrides)
    if as_json:
        print_json({"model": model})
    else:
        typer.echo(f"trained {model}")
