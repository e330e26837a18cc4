"""The URL of a store: its engine, its address and its options; secrets in it are never shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from rerank_search.arguments import string
from rerank_search.errors import InvalidInputError

HIDDEN = "***"
"""What stands for a password or a key."""

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9.+-]*://")
_SECRET = re.compile(r"password|passwd|secret|token|key", re.IGNORECASE)


@dataclass(frozen=True, slots=True, repr=False)
class StoreUrl:
    """A store's URL in its parts, such as ``qdrant+https://host:6333/docs?timeout=5``.

    ``scheme`` is in lower case. ``host`` may have a port, and is empty for a store in a folder.
    ``path`` is decoded and has no slash at its end. ``user`` and ``password`` are decoded, "" if
    they are missing. ``str`` and ``repr`` hide the password and every option that may be secret.
    """

    scheme: str
    host: str
    path: str
    user: str
    password: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def transport(self) -> str:
        """What stands after the + of the scheme, such as "https"; "" if nothing does."""
        return self.scheme.partition("+")[2]

    @property
    def name(self) -> str:
        """The last part of the path: the name of a collection, an index or a table."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The path without its last part: where a store in a folder or a file is."""
        return self.path.rpartition("/")[0]

    @property
    def has_secret(self) -> bool:
        """Whether it has a password, or an option that may be one."""
        return bool(self.password) or any(map(is_secret, self.options))

    def __str__(self) -> str:
        """The URL, without anything secret."""
        user = self.user and f"{self.user}{self.password and f':{HIDDEN}'}@"
        options = "&".join(
            f"{name}={HIDDEN if is_secret(name) else value}" for name, value in self.options.items()
        )
        return f"{self.scheme}://{user}{self.host}{self.path}{options and f'?{options}'}"

    def __repr__(self) -> str:
        return f"StoreUrl({str(self)!r})"


def is_secret(option: str) -> bool:
    """Whether the value of an option may be a password or a key."""
    return _SECRET.search(option) is not None


def is_store_url(given: object) -> bool:
    """Whether this may be the URL of a store: it has a scheme, other than those of web pages."""
    return (
        isinstance(given, str)
        and _URL.match(given) is not None
        and not given.lower().startswith(("http://", "https://", "file://"))
    )


def store_url(given: str) -> StoreUrl:
    """The URL in its parts. Raises InvalidInputError, which never shows a password."""
    if _URL.match(string("url", given)) is None:
        raise InvalidInputError(
            "url is not the URL of a store: write it as postgresql://HOST/DATABASE?table=NAME, or "
            "as another scheme with its address"
        )
    try:
        parts = urlsplit(given)
        named = parse_qsl(
            parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), errors="strict"
        )
    except ValueError:  # its message may repeat a password
        raise InvalidInputError(
            "the URL of the store cannot be read: write its options as ?name=value&name=value, and "
            "other characters than letters and digits in them as % and two digits"
        ) from None
    if ":" in parts.netloc and "@" in parts.path + parts.query.partition("=")[0]:
        raise InvalidInputError(  # not shown, since a password may have been cut at one of these
            "the URL of the store has an @ after its host: write / ? and @ of a user or a password "
            "as %2F %3F and %40, and an @ of another name as %40"
        )
    if parts.fragment:
        raise InvalidInputError(
            "the URL of the store has a #: write it as %23 if it belongs to a name or a password"
        )
    if repeated := {name for name, _ in named if sum(name == each for each, _ in named) > 1}:
        raise InvalidInputError(
            f"the URL of the store has the option {min(repeated)!r} twice: leave one of them out"
        )
    login, _, host = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    return StoreUrl(
        scheme=parts.scheme.lower(),
        host=host,
        path=unquote(parts.path).rstrip("/"),
        user=unquote(user),
        password=unquote(password),
        options=dict(named),
    )
