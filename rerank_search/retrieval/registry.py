"""First stages by name: the built-in ones, and those that installed packages add.

A new built-in first stage needs a module and a line in ``BUILT_IN``. A package adds one with an
entry point in the group ``rerank_search.retrievers``. See ``docs/extending.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from rerank_search import entry_points
from rerank_search.built_in_stages import BM25, DENSE, EVERY_INDEX, HYBRID, SPARSE, TEXT
from rerank_search.errors import InvalidInputError, PluginError
from rerank_search.shown import shown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from rerank_search.retrieval.base import Engine, EngineSource, Retriever, Stages
    from rerank_search.retrieval.hybrid_fusion import HybridFusion
    from rerank_search.types import HybridName

StageKind: TypeAlias = Literal["engine", "combined"]
"""Kind of a first stage: an engine has its own structure in the index, others combine stages."""

GROUP = "rerank_search.retrievers"
"""The group of the entry points that name first stages."""


@dataclass(frozen=True, slots=True)
class FirstStage:
    """A first stage that an index can have.

    ``made_by`` is "module:function". Without ``made_of`` the first stage is an engine: the index
    keeps it in step with its documents, and the function gets an EngineSource. Otherwise it
    combines the first stages that ``made_of`` names, and the function gets the index.
    ``encodes`` says whether it needs the index's vectors.
    """

    name: str
    made_by: str
    made_of: tuple[str, ...] = ()
    encodes: bool = False


BUILT_IN = (
    FirstStage(BM25, "rerank_search.retrieval.bm25:opened"),
    FirstStage(DENSE, "rerank_search.retrieval.dense:opened", encodes=True),
    FirstStage(
        HYBRID, "rerank_search.retrieval.hybrid:opened", made_of=(BM25, DENSE), encodes=True
    ),
    FirstStage(SPARSE, "rerank_search.retrieval.sparse:opened"),
)
"""The first stages of this package. Of the combined ones, the last is an index's default."""

BUILT_IN_NAMES = tuple(stage.name for stage in BUILT_IN)
_BY_NAME = {stage.name: stage for stage in BUILT_IN}
_COMBINED = {stage.name: stage.made_of for stage in BUILT_IN if stage.made_of}


def names() -> tuple[str, ...]:
    """The names of all first stages: the built-in ones, then those of installed packages."""
    added = sorted(_installed().keys() - _BY_NAME.keys())
    return (*BUILT_IN_NAMES, *added)


def known_name(name: str) -> str:
    """``name``, if there is a first stage of that name. Raises InvalidInputError."""
    if not isinstance(name, str) or (name not in _BY_NAME and name not in _installed()):
        raise InvalidInputError(
            f"there is no first stage {shown(name)}: use one of {', '.join(names())}, or install "
            "the package that adds it"
        )
    return name


def searched_name(name: str) -> str:
    """``name``, if an index or a store can be searched by it. Raises InvalidInputError."""
    return name if name == TEXT else known_name(name)


def encodes(name: str) -> bool:
    """Whether a first stage needs the vectors of the index's encoder.

    A package sets an attribute ``encodes`` of its first stage for this. Raises PluginError.
    """
    if name in _BY_NAME:
        return _BY_NAME[name].encodes
    return bool(getattr(_maker(name), "encodes", False))


def exact_versions(names: Iterable[str]) -> dict[str, str]:
    """The version and code of each first stage that an installed package adds, by its name.

    Rankings that are kept for later are found again by them. Names of other first stages are
    skipped, because their version is that of rerank_search.
    """
    added = {name: entry for name, entry in _installed().items() if name not in _BY_NAME}
    return {name: entry_points.exact_version(added[name]) for name in names if name in added}


def is_engine(name: str) -> bool:
    """Whether a first stage is an engine. Raises PluginError."""
    if name in _BY_NAME:
        return not _BY_NAME[name].made_of
    return _derives_from_engine(_maker(name))


def is_installed_combination(name: str) -> bool:
    """Whether a package adds a first stage of that name that combines others.

    Raises PluginError.
    """
    added = isinstance(name, str) and name not in _BY_NAME and name in _installed()
    return added and not is_engine(name)


def kinds(further: Sequence[str]) -> dict[str, StageKind]:
    """The kinds of an index's further first stages, beyond those of every index.

    Raises InvalidInputError for an unknown name, or one that every index has; PluginError.
    """
    found: dict[str, StageKind] = {}
    for name in further:
        if known_name(name) in EVERY_INDEX or name in _COMBINED:
            raise InvalidInputError(
                f"first_stages has {name!r}, which is built in: leave it out. Every index has "
                "bm25, and dense and hybrid if it has an encoder"
            )
        if not name.replace("-", "_").isidentifier():
            raise PluginError(
                f"the first stage {name!r} cannot be kept in an index, because its name is not "
                "made of letters, digits, - and _: the package that adds it must rename it"
            )
        found[name] = "engine" if is_engine(name) else "combined"
    return found


def engines_of(further: Mapping[str, StageKind], *, vectors: bool) -> tuple[str, ...]:
    """The engines of an index, given its further first stages and whether it has vectors."""
    own = (name for name in EVERY_INDEX if vectors or not encodes(name))
    return (*(name for name, kind in further.items() if kind == "engine"), *own)


def stages_of(further: Mapping[str, StageKind], *, vectors: bool) -> tuple[str, ...]:
    """The first stages of an index, the best last; its further ones come first."""
    engines = engines_of(further, vectors=vectors)
    combined = [name for name, made_of in _COMBINED.items() if {*made_of} <= {*engines}]
    return tuple(dict.fromkeys((*further, *engines, *combined)))


def opened_engine(name: str, source: EngineSource) -> Engine:
    """The engine of that name in an index. Raises PluginError, IndexCorruptedError."""
    if name in _BY_NAME:
        built_in: Engine = _maker(name)(source)
        return built_in
    from rerank_search.retrieval.packaged import PackagedEngine

    return PackagedEngine(name, _maker(name), source, _who(name))


def combined_stage(
    name: str, index: Stages, *, fusion: HybridFusion | HybridName | None
) -> Retriever:
    """The first stage of that name, which combines others; ``fusion`` is for hybrid only.

    Raises PluginError.
    """
    if name in _BY_NAME:
        options = {} if fusion is None else {"fusion": fusion}
        return cast("Retriever", _maker(name)(index, **options))
    from rerank_search.retrieval.packaged import PackagedRetriever

    make, who = _maker(name), _who(name)
    with entry_points.plugin_errors(who, "making the first stage"):
        made = make(index)
    if not callable(getattr(made, "retrieve", None)) or not hasattr(made, "name"):
        raise _no_retriever(f"{who} gives {shown(made)}, which")
    return PackagedRetriever(made, who)


def _maker(name: str) -> Callable[..., Any]:
    if name in _BY_NAME:
        return cast("Callable[..., Any]", resolve_name(_BY_NAME[name].made_by))
    entry = _installed().get(name)
    if entry is None:
        raise PluginError(
            f"no installed package has the first stage {shown(name)}: install the package that "
            f"adds it (an entry point in the group {GROUP})"
        )
    found = entry_points.loaded(entry)
    usable = callable(getattr(found, "retrieve", None)) or _derives_from_engine(found)
    if not callable(found) or (isinstance(found, type) and not usable):
        raise _no_retriever(_who(name))
    return found


def _derives_from_engine(found: object) -> bool:
    from rerank_search.retrieval.base import Engine

    return isinstance(found, type) and Engine in found.__mro__


def _who(name: str) -> str:
    return entry_points.described(_installed()[name])


def _no_retriever(what: str) -> PluginError:
    return PluginError(
        f"{what} is not a first stage: it must name a class with the method retrieve, or one "
        "derived from Engine"
    )


def _installed() -> Mapping[str, EntryPoint]:
    return entry_points.installed(GROUP)
