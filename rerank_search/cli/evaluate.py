"""``rerank-search evaluate``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rerank_search.cli.output import Json, note, print_json, progress
from rerank_search.cli.ray_options import Ray, RayFolder, RayWorkers, computing
from rerank_search.cli.worth import print_worth

if TYPE_CHECKING:
    from rerank_search.evaluation.experiment import Experiment
    from rerank_search.evaluation.report.schema import Report

OUTPUT = Path("runs/evaluation")


def evaluate(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="EXPERIMENT.toml | COLLECTION...",
            help="An experiment, or collections: BEIR folders, files of samples or of pairs.",
        ),
    ],
    split: Annotated[
        str | None, typer.Option(help="Split of the BEIR folders; test by default.")
    ] = None,
    first_stage: Annotated[
        list[str] | None,
        typer.Option(
            help="A first stage, such as bm25, your own as module:object, or a store by its URL "
            "(NAME=URL, URL#STAGE); repeatable. All first stages of the index by default."
        ),
    ] = None,
    candidates: Annotated[
        list[int] | None, typer.Option(help="Candidates to rerank; repeatable. 100 by default.")
    ] = None,
    reranker: Annotated[
        list[str] | None,
        typer.Option(help="A reranker: name, folder, hub id or URL; repeatable. None by default."),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(help="A TREC run file to evaluate as a first stage; repeatable."),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="Search this index of the documents instead of building one."),
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option(help="A measure, such as nDCG@10 or MAP; repeatable.")
    ] = None,
    queries: Annotated[
        int | None, typer.Option(help="Use a sample of this many judged queries.")
    ] = None,
    relevant_from: Annotated[
        int | None, typer.Option(help="Lowest grade that binary measures count as relevant.")
    ] = None,
    ignore_identical_ids: Annotated[
        bool,
        typer.Option(
            "--ignore-identical-ids",
            help="Leave the document with a query's id out of its rankings, as BEIR does.",
        ),
    ] = False,
    dtype: Annotated[
        str | None,
        typer.Option(help="Precision of the rerankers: float32, bfloat16, float16 or int8."),
    ] = None,
    cost_queries: Annotated[
        int | None, typer.Option(help="Searches to measure the cost of; 20 by default, 0 for none.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the report; runs/evaluation/NAME by default.")
    ] = None,
    ray: Ray = None,
    ray_workers: RayWorkers = None,
    ray_folder: RayFolder = None,
    as_json: Json = False,
) -> None:
    """Measure first stages and rerankers on judged collections, and write a report.

    To continue an interrupted run, repeat the command.
    """
    from rerank_search.evaluation.evaluate import evaluate as run_experiment

    options: dict[str, Any] = {
        "split": split,
        "first_stages": first_stage,
        "candidates": candidates,
        "rerankers": reranker,
        "runs": run,
        "index": index,
        "measures": measure,
        "queries": queries,
        "relevant_from": relevant_from,
        "ignore_identical_ids": ignore_identical_ids or None,
        "dtype": dtype,
        "cost_queries": cost_queries,
    }
    given = {key: value for key, value in options.items() if value not in (None, [])}
    experiment = _experiment(what, given)
    folder = output or OUTPUT / experiment.name
    with (
        _importing_from_here() if experiment.import_paths else nullcontext(),
        computing(ray, ray_workers, ray_folder) as compute,
    ):
        report = run_experiment(experiment, folder, progress=progress, compute=compute)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        _print(report)
        note(f"{folder}/report.html has the plots, report.md all tables")


@contextmanager
def _importing_from_here() -> Iterator[None]:
    """Let modules of the current folder be imported, as `python -m` does."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _experiment(what: list[str], given: dict[str, Any]) -> Experiment:
    from rerank_search.evaluation.experiment import experiment_of, load_experiment

    if len(what) == 1 and what[0].endswith(".toml"):
        if given:
            option = next(iter(given)).replace("_", "-")
            raise typer.BadParameter(
                f"the option for {option} cannot be used with an experiment: set it in {what[0]}"
            )
        return load_experiment(Path(what[0]))
    collection: dict[str, Any] = {
        key: given.pop(key)
        for key in ("split", "queries", "relevant_from", "ignore_identical_ids", "index")
        if key in given
    }
    if "runs" in given:
        collection["runs"] = _named(given.pop("runs"))
    if "dtype" in given and "rerankers" not in given:
        raise typer.BadParameter(
            "--dtype is the precision of rerankers, and there is none: add --reranker"
        )
    dtype = given.pop("dtype", "float32")
    given["rerankers"] = [{"model": model, "dtype": dtype} for model in given.get("rerankers", [])]
    name = "-".join(Path(each).resolve().name.partition(".")[0] for each in what)
    collections = [{"path": each, **collection} for each in what]
    return experiment_of({"name": name, "collections": collections, **given})


def _named(runs: list[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in runs:
        name = "-".join(path.stem.split())
        if name in named:
            raise typer.BadParameter(
                f"two run files have the name {name!r}: rename one, or name the runs in an "
                "experiment"
            )
        named[name] = path.resolve()
    return named


def _print(report: Report) -> None:
    print_worth(report)
    warnings: dict[str, None] = {}
    for system in report.systems:
        warnings.update(dict.fromkeys(f"{system.key}: {each}" for each in system.warnings))
    for pairs in report.pairs:
        name = f"{pairs.collection}/{pairs.split}"
        values = ", ".join(f"{key} {value:.4f}" for key, value in pairs.values.items())
        typer.echo(f"{name} {pairs.reranker}: {values}")
        warnings.update(dict.fromkeys(f"{name}: {each}" for each in pairs.warnings))
    for warning in warnings:
        note(warning)
