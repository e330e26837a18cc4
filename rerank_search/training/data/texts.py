"""When two texts are taken for the same."""

from __future__ import annotations

import unicodedata

from rerank_search.retrieval.folding import nfkc


def letters_and_digits(text: str) -> str:
    """The text casefolded and without white space, punctuation and symbols.

    Two texts are taken for the same where these are equal. A text of other characters alone
    stays as it is.
    """
    return nfkc(text).casefold().translate(_KEPT) or text


class _Kept(dict[int, int | None]):
    """A table for ``str.translate`` that keeps letters, digits and the marks of letters."""

    def __missing__(self, code: int) -> int | None:
        kept = unicodedata.category(chr(code))[0] in "LNM"
        self[code] = code if kept else None
        return self[code]


_KEPT = _Kept()
