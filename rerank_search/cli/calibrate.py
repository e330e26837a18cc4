"""``rerank-search calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rerank_search.cli.first_stage_argument import FirstStageOption
from rerank_search.cli.output import Json, note, print_json, progress
from rerank_search.errors import InvalidInputError
from rerank_search.files import check_writable
from rerank_search.shown import counted

if TYPE_CHECKING:
    from rerank_search.reranking.fusion import Fusion


def calibrate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A reranker: name, folder or hub id.")
    ],
    collections: Annotated[
        list[Path], typer.Argument(metavar="COLLECTION...", help="BEIR folders to fit on.")
    ],
    split: Annotated[str, typer.Option(help="Split of the collections.")] = "dev",
    first_stage: FirstStageOption = None,
    candidates: Annotated[
        int, typer.Option(min=1, help="Candidates to score for each query.")
    ] = 50,
    method: Annotated[
        Literal["platt", "isotonic"],
        typer.Option(help="Form of the curve: logistic (platt) or steps (isotonic)."),
    ] = "platt",
    queries: Annotated[
        int | None,
        typer.Option(min=1, help="Use a sample of this many judged queries of each collection."),
    ] = None,
    ignore_identical_ids: Annotated[
        bool,
        typer.Option(
            "--ignore-identical-ids",
            help="Leave the document with a query's id out of its candidates.",
        ),
    ] = False,
    fusion: Annotated[
        bool, typer.Option(help="Fit the fusion of the stages first, and calibrate its score.")
    ] = True,
    keep_fusion: Annotated[
        bool, typer.Option(help="Keep the model's fusion, and calibrate its score.")
    ] = False,
    index: Annotated[
        Path | None,
        typer.Option(help="Search this index of the documents instead of building one."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the files; by default the model's folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit a calibration that turns a reranker's scores into probabilities of relevance."""
    if index is not None and len(collections) > 1:
        raise InvalidInputError(
            f"--index has the documents of one collection, but {len(collections)} are given: "
            "calibrate on one of them, or leave --index out"
        )
    if keep_fusion and not fusion:
        raise InvalidInputError(
            "--keep-fusion and --no-fusion exclude each other: give one of them"
        )
    folder = output or _own_folder(model)
    check_writable(folder)

    from rerank_search.judged.settings import CollectionSettings
    from rerank_search.training.publish.fitting import calibrate as fit

    found = fit(
        model,
        [
            CollectionSettings(
                path=path,
                split=split if path.is_dir() else None,
                queries=queries,
                ignore_identical_ids=ignore_identical_ids,
                index=index,
            )
            for path in collections
        ],
        first_stage=first_stage,
        candidates=candidates,
        method=method,
        fusion=_own_fusion(model) if keep_fusion else fusion,
        progress=progress,
    )
    found.save(folder)
    for warning in found.warnings:
        note(warning)
    fitted_on, held_out = found.calibration.fitted_on, found.calibration.held_out
    if as_json:
        print_json(found.calibration.model_dump())
        return
    typer.echo(
        f"{counted(fitted_on.documents, 'candidate')} of "
        f"{counted(fitted_on.queries, 'query', 'queries')}, "
        f"{fitted_on.relevant:.1%} of them relevant. On queries held out:"
    )
    typer.echo(f"calibration error {held_out.before.ece:.4f} -> {held_out.after.ece:.4f}")
    typer.echo(f"Brier score       {held_out.before.brier:.4f} -> {held_out.after.brier:.4f}")
    note(f"{folder} has calibration.json{', fusion.json' if found.fusion else ''}, reliability.svg")


def _own_fusion(model: str) -> Fusion:
    """The model's own fusion."""
    from rerank_search.models.registry import resolve_reranker
    from rerank_search.reranking.fusion import FUSION_FILE, Fusion

    folder = Path(resolve_reranker(model))
    if not (folder / FUSION_FILE).is_file():
        raise InvalidInputError(
            f"--keep-fusion: {model} has no {FUSION_FILE}. Leave --keep-fusion out to fit one"
        )
    return Fusion.load(folder)


def _own_folder(model: str) -> Path:
    """The folder of a model given by its path, which may be written to."""
    import rerank_search

    folder = Path(model).expanduser()
    package = Path(rerank_search.__file__).resolve().parent
    if not folder.is_dir() or package in folder.resolve().parents:
        problem = "is in the installed package" if folder.is_dir() else "is not a folder"
        raise InvalidInputError(
            f"{model} {problem}, so the calibration cannot be saved there: check the spelling, or "
            "name a folder with --output"
        )
    return folder
