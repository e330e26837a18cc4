"""Keys for servers: the environment variable of each host, and which keys can be sent."""

from __future__ import annotations

import os
import re

from rerank_search.errors import InvalidInputError
from rerank_search.settings import PREFIX

_PREFIX = f"{PREFIX}KEY_"
"""Beginning of the environment variables that hold keys; the host's name follows."""

AS_ISSUED = "give the key as the server's owner has issued it, without a line break"
"""What to do about the invalid key of a server that others run."""

_NAME = re.compile(r"[0-9a-z]+(?:(?:\.|-+)[0-9a-z]+)*")
"""A host's name, whose parts neither begin nor end with a hyphen."""

_ADDRESS = re.compile(r"::[0-9a-f]+")
"""An IPv6 address such as ::1."""


def key_variable(host: str) -> str:
    """The environment variable with the key for a host, such as RERANK_SEARCH_KEY_API_JINA_AI.

    No two hosts share one, so that a key is never sent to another host: a dot is ``_`` and a hyphen
    is ``__``. Of a host that is not a name of such parts, every sign is ``___`` and its code.
    """
    host = host.lower()
    if _NAME.fullmatch(host):
        spelled = host.replace("-", "__").replace(".", "_")
    elif _ADDRESS.fullmatch(host):  # no name begins with a sign
        spelled = host.replace(":", "_")
    else:
        spelled = re.sub(r"[^0-9a-z]", lambda sign: f"___{sign[0].encode().hex()}", host)
    return _PREFIX + spelled.upper()


def stored_key(variable: str, *, fix: str = AS_ISSUED) -> str | None:
    """The key in an environment variable; None if it is not set or empty.

    Raises InvalidInputError with the ``fix`` for a key that cannot be sent.
    """
    key = os.environ.get(variable) or None
    if key is not None:
        check_key(variable, key, fix=fix)
    return key


def check_key(name: str, key: object, *, fix: str) -> None:
    """Raise InvalidInputError for a key that cannot be sent in a header.

    ``name`` is the argument or the variable that has it, ``fix`` says how to get a valid one.
    """
    if isinstance(key, str) and key and key.isascii() and key.isprintable():
        return
    raise InvalidInputError(f"{name} is not valid: {fix}")
