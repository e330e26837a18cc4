"""An answer read to its end, within a time."""

from __future__ import annotations

import time

import httpx2

_KEPT_HEADERS = ("content-type", "location", "retry-after")
"""Headers of an answer that are read once its content is there, decoded."""


def whole(answer: httpx2.Response, until: float) -> httpx2.Response:
    """The answer with its content. Raises ReadTimeout if that does not end before ``until``.

    A timeout alone bounds each read, and a server may send an answer byte by byte.
    """
    parts = []
    for part in answer.iter_bytes():
        if time.monotonic() > until:
            raise httpx2.ReadTimeout("", request=answer.request)
        parts.append(part)
    headers = [each for each in answer.headers.multi_items() if each[0] in _KEPT_HEADERS]
    return httpx2.Response(
        answer.status_code, headers=headers, content=b"".join(parts), request=answer.request
    )
