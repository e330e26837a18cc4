"""Opening a store by its URL, and making a new one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from os import PathLike
from typing import get_args

from pydantic import ValidationError

from rerank_search.arguments import truth_value, whole_number
from rerank_search.errors import InvalidInputError, StoreMismatchError, StoreNotFoundError
from rerank_search.index.encoder_record import recorded
from rerank_search.models.registry import AUTO
from rerank_search.queries import check_excluded
from rerank_search.retrieval.base import TextEncoder
from rerank_search.retrieval.encoders import encoder_of
from rerank_search.shown import reason, shown
from rerank_search.stores.attempts import Attempts
from rerank_search.stores.base import (
    Distance,
    NewStore,
    StoreBackend,
    StoreDescription,
    StoreOptions,
)
from rerank_search.stores.registry import allows_login, backend_class
from rerank_search.stores.store import Store
from rerank_search.stores.url import HIDDEN, StoreUrl, is_secret, store_url
from rerank_search.stores.vectors import store_encoder

MOST_NUMBERS = 16_384
"""Most numbers that a vector of your own can have."""


def open_store(
    url: str,
    *,
    encoder: TextEncoder | str | PathLike[str] | None = None,
    create: bool = False,
    dimension: int | None = None,
    **options: object,
) -> Store:
    """Open the store at a URL, such as ``postgresql://host/database?table=docs``.

    ``encoder`` names the encoder that made the vectors, or is the encoder itself; None takes the
    one that is recorded in the store. Vectors without an encoder are your own: queries and
    documents bring theirs.

    ``create`` makes what is missing: a table or collection, for the vectors of ``encoder`` (by
    default "auto", as for a new index) or for your own of ``dimension`` numbers (0: no vectors); or
    in an existing one the record that ``encoder`` made its vectors. Nothing else is changed.

    ``options`` are those of the URL (see ``StoreOptions`` and the store's own), as arguments.

    Raises InvalidInputError for a URL or an option that is not valid, StoreNotFoundError,
    StoreMismatchError for another encoder, dimension, distance or columns, StoreAccessError,
    StoreUnreachableError, MissingDependencyError, PluginError.
    """
    create = truth_value("create", create)
    address, make, checked = _engine(url, options)
    address = replace(address, options=address.options | {k: str(v) for k, v in options.items()})
    given = encoder if encoder is not None else checked.encoder
    if dimension is not None:
        dimension = whole_number("dimension", dimension, least=0, most=MOST_NUMBERS)
        check_excluded(f"dimension={dimension}", encoder=given)
    backend = make(address, checked)
    attempts = Attempts(checked.timeout, checked.retries)
    try:
        found = attempts.of(backend.describe)
        if create:
            found = _created(backend, str(address), attempts, found, given, dimension)
        if found is None:
            raise StoreNotFoundError(
                f"{address} does not exist: check its name, or make it with open_store(..., "
                "create=True)"
            )
        _check_vectors(str(address), found, dimension)
        model = store_encoder(str(address), given, found.encoder, found.dimension)
        return Store(
            str(address), backend, found, encoder=model, hybrid=checked.hybrid, attempts=attempts
        )
    except BaseException:
        backend.close()
        raise


def check_store_url(url: str) -> None:
    """Raise what ``open_store`` raises for a URL that is not valid; nothing is connected to."""
    _engine(url, {})


def _engine(
    url: str, options: dict[str, object]
) -> tuple[StoreUrl, type[StoreBackend], StoreOptions]:
    """The URL in its parts, the class of its engine, and the options of both."""
    address = store_url(url)
    make = backend_class(address.scheme)
    if (address.user or address.password) and not allows_login(address.scheme):
        raise InvalidInputError(
            f"the URL of {address.scheme}://{address.host} contains a user or a password: give a "
            "key in the environment, as docs/stores.md says"
        )
    return address, make, _checked(make.Options, address, options)


def _created(
    backend: StoreBackend,
    name: str,
    attempts: Attempts,
    found: StoreDescription | None,
    encoder: TextEncoder | str | PathLike[str] | None,
    dimension: int | None,
) -> StoreDescription | None:
    """What is there once everything that was missing is made."""
    if found is None:
        if dimension is None:
            record = recorded(encoder_of(AUTO if encoder is None else encoder))
            new = NewStore(record.dimension, record)
        else:
            new = NewStore(dimension or None, None)
    elif encoder is not None and found.encoder is None and found.dimension is not None:
        model = store_encoder(name, encoder, None, found.dimension)
        new = NewStore(found.dimension, None if model is None else recorded(model))
    else:
        return found
    attempts.of(partial(backend.create, new))
    return attempts.of(backend.describe)


def _check_vectors(name: str, found: StoreDescription, dimension: int | None) -> None:
    """Raise StoreMismatchError for vectors that cannot be compared, or that are not your own."""
    if found.dimension is not None and found.distance not in get_args(Distance):
        raise StoreMismatchError(
            f"{name} compares vectors by {found.distance}, which gives other scores than their "
            f"cosine: use one that compares them by {' or '.join(get_args(Distance))}"
        )
    if dimension is None or (found.encoder is None and (found.dimension or 0) == dimension):
        return
    there = f"has vectors of {found.dimension} numbers" if found.dimension else "has no vectors"
    made = "" if found.encoder is None else f", made with the encoder {found.encoder.name!r}"
    raise StoreMismatchError(
        f"{name} {there}{made}, and dimension={dimension} is for other ones: leave it out, or "
        "choose another table or collection"
    )


def _names(kind: type[StoreOptions]) -> list[str]:
    """The names of the options, as a URL has them."""
    return [field.alias or name for name, field in kind.model_fields.items() if not field.exclude]


def _checked(kind: type[StoreOptions], url: StoreUrl, given: dict[str, object]) -> StoreOptions:
    """The options of the URL and the arguments. Raises InvalidInputError for an invalid one."""
    if twice := sorted(url.options.keys() & given.keys()):
        raise InvalidInputError(
            f"the option {twice[0]!r} is in the URL of the store and among the arguments: leave "
            "one of them out"
        )
    try:
        return kind.model_validate({**url.options, **given})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        if not problem["loc"]:  # of all options together, among which may be a password
            raise InvalidInputError(
                f"the options of {url} are not valid: {reason(problem)}"
            ) from None
        name = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            raise InvalidInputError(
                f"{url.scheme}:// has no option {shown(name)}: use one of {', '.join(_names(kind))}"
            ) from None
        if problem["type"] == "missing":
            raise InvalidInputError(
                f"{url} needs the option {name!r}: write it as ?{name}=... in the URL, or give it "
                "as an argument"
            ) from None
        value = HIDDEN if is_secret(name) else shown(problem["input"])
        raise InvalidInputError(
            f"the option {name}={value} of the store is not valid: {reason(problem)}"
        ) from None
