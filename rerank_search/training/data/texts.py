"""Whether two texts count as the same."""

from __future__ import annotations

import unicodedata

from rerank_search.retrieval.folding import nfkc


def letters_and_digits(text: str) -> str:
    """The text, casefolded and without white space, punctuation and symbols.

    Two texts with equal results count as the same. A text without letters and digits is unchanged.
    """
    return nfkc(text).casefold().translate(_KEPT) or text


class _Kept(dict[int, int | None]):
    """A table for ``str.translate`` that keeps letters, digits and the marks of letters."""

    def __missing__(self, code: int) -> int | None:
        kept = unicodedata.category(chr(code))[0] in "LNM"
        self[code] = code if kept else None
        return self[code]


_KEPT = _Kept()
