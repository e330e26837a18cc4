"""``rerank-search train``."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rerank_search.cli.output import Json, note, print_json, progress
from rerank_search.cli.ray_options import Ray, RayFolder, RayWorkers, computing

if TYPE_CHECKING:
    from rerank_search.training.run.plan import Plan


def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A recipe, such as eval/recipes/NAME.toml.")
    ],
    override: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Replace a value of the recipe; repeatable."
        ),
    ] = [],  # noqa: B006 (typer copies it)
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only check and describe recipe and data, and estimate the time."
        ),
    ] = False,
    ray: Ray = None,
    ray_workers: RayWorkers = None,
    ray_folder: RayFolder = None,
    as_json: Json = False,
) -> None:
    """Fine-tune a cross-encoder with a recipe.

    To continue an interrupted run from its last checkpoint, repeat the command. On a Ray cluster
    negatives are mined; the training itself is here.
    """
    from rerank_search.training.run.memory import keep_freed_memory
    from rerank_search.training.run.prepare import prepare
    from rerank_search.training.train import fit

    keep_freed_memory()
    overrides = _overrides(override)
    with computing(ray, ray_workers, ray_folder) as compute:
        prepared = prepare(recipe, overrides=overrides, progress=progress, compute=compute)
    for found in prepared.notes if prepared.leads else ():
        note(found)
    if dry_run:
        from rerank_search.training.run.plan import plan

        planned = plan(prepared)
        if as_json:
            print_json(planned)
        else:
            _print(planned)
        return
    with _told():
        model = fit(prepared, progress=progress)
    if not prepared.leads:
        return
    if as_json:
        print_json({"model": model})
    else:
        shown = _without_detours(model)
        typer.echo(f"trained {shown}: see {shown / 'README.md'}")


def _without_detours(path: Path) -> Path:
    """A path as a person would write it: without "..", and relative if it lies below here."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow links)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@contextmanager
def _told() -> Iterator[None]:
    """Show the log lines of training on the standard error."""
    logger = logging.getLogger("rerank_search.training")
    handler, level = _Notes(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


def _overrides(pairs: list[str]) -> dict[str, str]:
    overrides: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"--set {pair}: write KEY=VALUE")
        overrides[key] = value
    return overrides


def _print(planned: Plan) -> None:
    import tomli_w

    from rerank_search.training.data.description import as_text

    typer.echo(tomli_w.dumps(_stated(planned.recipe)))
    typer.echo(f"{as_text(planned.sets, planned.time)} in {planned.precision}")


def _stated(table: Any) -> Any:
    """The table without None values, which TOML cannot express."""
    if isinstance(table, dict):
        return {key: _stated(value) for key, value in table.items() if value is not None}
    return [_stated(value) for value in table] if isinstance(table, list) else table
