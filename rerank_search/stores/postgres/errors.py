"""Errors of PostgreSQL as those of stores; none of them has a password."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg

from rerank_search.errors import (
    InvalidFilterError,
    InvalidInputError,
    StoreAccessError,
    StoreError,
    StoreFullError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreTimeoutError,
    StoreUnreachableError,
)
from rerank_search.shown import on_one_line

AGAIN = "try again"

_BY_STATE: Mapping[str, tuple[type[Exception], str]] = {
    "57014": (StoreTimeoutError, "give a longer timeout, or a narrower filter"),
    "55P03": (StoreTimeoutError, "wait until another one has changed the table, then try again"),
    "53100": (StoreFullError, "free some space there, then write again"),
    "53200": (StoreError, "the server has too little memory: try again later"),
    "53300": (StoreUnreachableError, "close other connections, or allow more of them"),
    "57P01": (StoreUnreachableError, AGAIN),
    "57P02": (StoreUnreachableError, AGAIN),
    "57P03": (StoreUnreachableError, "wait until the server has started"),
    "57P05": (StoreUnreachableError, AGAIN),
    "40001": (StoreUnreachableError, AGAIN),
    "40P01": (StoreUnreachableError, AGAIN),
    "42501": (StoreAccessError, "ask the table's owner to GRANT what this user needs"),
    "25006": (StoreAccessError, "write to the primary server, with a user who may write"),
    "42P01": (StoreNotFoundError, "the table was dropped or renamed: open the store again"),
    "3F000": (StoreNotFoundError, "create that schema, or name another one"),
    "3D000": (StoreNotFoundError, "check the name of the database in the URL"),
    "42703": (StoreMismatchError, "the columns have changed: open the store again"),
    "2201B": (InvalidFilterError, "use a simpler pattern in the filter"),
    "54001": (InvalidFilterError, "the filter has too many conditions: use $in, or fewer"),
}
"""The class of the error for each state of SQL, and what to do."""

_BY_CLASS: Mapping[str, tuple[type[Exception], str]] = {
    "08": (StoreUnreachableError, AGAIN),
    "28": (StoreAccessError, "check the user and the password (PGPASSWORD, ~/.pgpass)"),
    "22": (StoreMismatchError, "the values are others than this call expects: open it again"),
    "42": (StoreMismatchError, "the table or its columns are other ones than were opened"),
}


@contextmanager
def store_errors(name: str) -> Iterator[None]:
    """Turn errors of psycopg into those of the store with this name."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(name, error) from error


def translated(name: str, error: psycopg.Error) -> Exception:
    """The error of the store."""
    state = error.sqlstate
    said = on_one_line(error.diag.message_primary or str(error)).rstrip(".")
    if state is not None:
        known = _BY_STATE.get(state) or _BY_CLASS.get(state[:2])
        kind, fix = known or (StoreError, "see what PostgreSQL says about it")
        return kind(f"{name}: {said}: {fix}")
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return StoreUnreachableError(f"{name} does not answer: {said}: check its address")
    if isinstance(error, psycopg.OperationalError):
        return _unconnected(name, said)
    return StoreError(f"{name}: {said}")


def _unconnected(name: str, said: str) -> Exception:
    """The error of a connection that was not made, or was lost; libpq tells no state of it."""
    lowered = said.lower()
    if "invalid" in lowered and " value" in lowered:  # of an option; no server was asked
        return InvalidInputError(f"the URL {name} is not valid: {said}: see libpq's parameters")
    if "authentication failed" in lowered or "no password supplied" in lowered:
        return StoreAccessError(
            f"{name}: {said}: check the user and the password (PGPASSWORD, ~/.pgpass)"
        )
    if "no pg_hba.conf entry" in lowered:
        return StoreAccessError(f"{name}: {said}: ask its owner to let this user in")
    if "does not exist" in lowered:
        return StoreNotFoundError(f"{name}: {said}: check the URL")
    if "ssl" in lowered or "certificate" in lowered:
        return StoreAccessError(f"{name}: {said}: check sslmode and sslrootcert")
    return StoreUnreachableError(f"{name} cannot be reached: {said}: check that it runs there")
