"""The options of a search, declared and checked once for the library, the client and the server."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    TypedDict,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from rerank_search.arguments import one_of, real_number, string, truth_value, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.queries import check_excluded, check_instruction
from rerank_search.shown import bounded_repr, shown
from rerank_search.types import Filter
from rerank_search.vectors import numbers

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Option:
    """Facts about an option for help texts and schemas: a line of help, and a number's bounds.

    ``ge`` and ``le`` are the smallest and the largest valid number; ``gt`` is below all valid ones.
    """

    help: str
    ge: int | None = None
    gt: int | None = None
    le: int | None = None

    def checked(self, name: str, kind: Any, value: Any) -> Any:
        """The value, checked to be of a type; a number becomes Python's own.

        ``kind`` is the type that the option declares. Only bool, numbers, strings, literals, None
        and lists of numbers are checked: a value of another type is checked where it is used.
        Raises InvalidInputError.
        """
        if get_origin(kind) in (Union, UnionType):
            kinds = get_args(kind)
            if value is None and NoneType in kinds:
                return None
            [kind, *others] = (each for each in kinds if each is not NoneType)
            if others:
                return value
        if kind is bool:
            return truth_value(name, value)
        if kind is int:
            least = self.ge if self.gt is None else self.gt + 1
            return whole_number(name, value, least=least, most=self.le)
        if kind is float:
            return real_number(name, value, above=self.gt, least=self.ge, most=self.le)
        if kind is str:
            return string(name, value)
        if get_origin(kind) is Literal:
            return one_of(name, value, get_args(kind))
        if kind == Sequence[float]:
            return numbers(name, value)
        return value


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """The options of a search, as ``Searcher.search`` takes them by name.

    Numbers may be NumPy's. Raises InvalidInputError for a value of another type or out of bounds,
    and for ``rerank=False`` with an option that needs reranking.

        >>> options = SearchOptions(top_k=3, filter={"module": "os"})
        >>> response = searcher.search("how do I join two paths", options)

    To add an option, add a field here, in SearchArguments and in the plugins' OptionFields, and the
    code that uses it. Its value is checked by its type and its bounds, and the HTTP API and the
    clients have it. The command line needs an argument of its own, which takes help and bounds from
    here.
    """

    top_k: int = field(
        default=10, metadata={"option": Option("Number of documents to return.", ge=1)}
    )
    candidates: int = field(
        default=100,
        metadata={
            "option": Option(
                "Number of documents that the first stage fetches to be reranked.", ge=1
            )
        },
    )
    first_stage: str | None = field(
        default=None,
        metadata={
            "option": Option(
                "First stage that fetches the candidates; by default the best that the index has."
            )
        },
    )
    filter: Filter | None = field(
        default=None, metadata={"option": Option("Metadata that documents must have.")}
    )
    query_vector: Sequence[float] | None = field(
        default=None,
        metadata={"option": Option("The query's vector, for an index of your own vectors.")},
    )
    rerank: bool = field(
        default=True,
        metadata={"option": Option("Whether to rerank; false returns the first stage's ranking.")},
    )
    budget_ms: float | None = field(
        default=None,
        metadata={
            "option": Option(
                "Milliseconds for the search: rerank only as many candidates as fit.", gt=0
            )
        },
    )
    min_relevance: float | None = field(
        default=None,
        metadata={
            "option": Option(
                "Leave out documents whose probability of being relevant is lower; needs a "
                "calibrated reranker.",
                ge=0,
                le=1,
            )
        },
    )
    passages_per_document: int = field(
        default=1,
        metadata={"option": Option("Number of passages of each document to return.", ge=1, le=100)},
    )
    collapse_duplicates: bool = field(
        default=False,
        metadata={
            "option": Option(
                "Whether to return only the best of documents whose passages are nearly the same."
            )
        },
    )
    instruction: str | None = field(
        default=None,
        metadata={
            "option": Option(
                "What makes a text relevant, in words; for rerankers that take an instruction."
            )
        },
    )

    __repr__ = bounded_repr

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            checked = option.checked(name, TYPES[name], getattr(self, name))
            object.__setattr__(self, name, checked)
        if self.instruction is not None:
            check_instruction(self.instruction)
        if not self.rerank:
            self.check_without_reranker("rerank=False")

    @property
    def depth(self) -> int:
        """The number of documents to fetch for reranking, at least ``top_k``."""
        return max(self.top_k, self.candidates)

    def begun_late(self, milliseconds: float) -> SearchOptions:
        """The options of a search that had to wait, and so has less of its budget left."""
        if self.budget_ms is None:
            return self
        return replace(self, budget_ms=max(self.budget_ms - milliseconds, 1e-3))

    def check_without_reranker(self, because: str, **others: object) -> None:
        """Raise InvalidInputError for an option that needs reranking.

        ``because`` says why nothing is reranked, such as ``rerank=False``; ``others`` are further
        options of the caller that need a reranker.
        """
        check_excluded(
            because,
            budget_ms=self.budget_ms,
            min_relevance=self.min_relevance,
            instruction=self.instruction,
            **others,
        )


OPTIONS: Mapping[str, Option] = {
    each.name: each.metadata["option"] for each in fields(SearchOptions)
}
"""Help and bounds of each option, by its name."""

TYPES: Mapping[str, Any] = get_type_hints(SearchOptions)
"""The type of each option, by its name."""


class SearchArguments(TypedDict, total=False):
    """The fields of SearchOptions as arguments; for editors and type checkers."""

    top_k: int
    candidates: int
    first_stage: str | None
    filter: Filter | None
    query_vector: Sequence[float] | None
    rerank: bool
    budget_ms: float | None
    min_relevance: float | None
    passages_per_document: int
    collapse_duplicates: bool
    instruction: str | None


def merged(options: SearchOptions | None, arguments: Mapping[str, Any]) -> SearchOptions:
    """The options, or the defaults, changed by arguments given by name.

    Raises InvalidInputError for an invalid value, and TypeError, as Python does, for an unknown
    name.
    """
    if options is not None and not isinstance(options, SearchOptions):
        raise InvalidInputError(
            f"options={shown(options)} is not a SearchOptions: give SearchOptions(top_k=10), or "
            "each option by its name"
        )
    for name in arguments:
        if name not in OPTIONS:
            from rerank_search.declared import did_you_mean

            raise TypeError(f"{name!r} is not a search option{did_you_mean(name, [*OPTIONS])}")
    if options is not None and not arguments:
        return options
    return replace(options or SearchOptions(), **arguments)


def shows_options(method: Method) -> Method:
    """Show each option in the signature of a method that takes them as ``**arguments``.

    Type checkers read ``Unpack[SearchArguments]``; this is for ``help()`` and notebooks.
    """
    signature = inspect.signature(method)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=option.type,
        )
        for option in fields(SearchOptions)
    ]
    shown_as = signature.replace(parameters=[*own, *options])
    method.__signature__ = shown_as  # type: ignore[attr-defined]
    return method
