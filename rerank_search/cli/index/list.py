"""``rerank-search index list``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from rerank_search.cli.location import known_indexes
from rerank_search.cli.output import Json, note, print_json
from rerank_search.index_names import index_name


@dataclass(frozen=True, slots=True)
class Listed:
    """An index by its manifest; ``problem`` says why the manifest cannot be read."""

    name: str
    index: Path
    documents: int | None = None
    encoder: str | None = None
    problem: str | None = None


def list_indexes(as_json: Json = False) -> None:
    """List the indexes below ./indexes and $RERANK_SEARCH_HOME, with their documents."""
    found = [_listed(folder) for folder in known_indexes()]
    if as_json:
        print_json(found)
        return
    if not found:
        note(
            "There are no indexes yet: make one with `rerank-search index create` or `index build`."
        )
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        documents = "?" if one.documents is None else f"{one.documents:,}"
        typer.echo(f"{one.name:<{width}}  {documents:>12}  {one.problem or one.index}")


def _listed(folder: Path) -> Listed:
    from rerank_search.errors import SearchIndexError
    from rerank_search.storage.manifest import Manifest

    try:
        manifest = Manifest.read(folder)
    except (SearchIndexError, OSError) as error:
        return Listed(index_name(folder), folder, problem=" ".join(str(error).split()))
    encoder = None if manifest.encoder is None else manifest.encoder.name
    return Listed(index_name(folder), folder, manifest.published.documents, encoder)
