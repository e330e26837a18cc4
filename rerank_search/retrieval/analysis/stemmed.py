"""Analyzers for languages: words as they are written there, and their stems.

Snowball's stemmers read words with their accents. What is then left of an accent is dropped in
languages whose readers often leave it out, and is kept where the letter is one of the alphabet:
Swedish "höra" is to hear, "hora" is not.
"""

from __future__ import annotations

from rerank_search.retrieval.analysis.analyzer import Analyzer
from rerank_search.retrieval.analysis.multilingual import in_any_script
from rerank_search.retrieval.analysis.plain import ENGLISH
from rerank_search.retrieval.folding import Folding


def _own_letters(name: str, letters: str = "", small: dict[str, str] | None = None) -> Analyzer:
    return in_any_script(name, Folding(letters, becomes=small), stemmer=name)


def _accents(name: str, letters: str) -> Analyzer:
    return in_any_script(name, Folding(letters), stemmer=name, ascii="after")


BY_CODE = {
    "ar": _own_letters("arabic", "أإآٱ"),
    "da": _own_letters("danish", "æøå"),
    "de": _own_letters("german", "äöü"),
    "el": _own_letters("greek"),
    "en": ENGLISH,
    "es": _own_letters("spanish", "áéíóúñ"),
    "fi": _own_letters("finnish", "äöå"),
    "fr": _accents("french", "àâæçéèêëîïôœùûüÿ"),
    "hu": _own_letters("hungarian", "áéíóöőúüű"),
    "it": _accents("italian", "àèéìíîòóùú"),
    "nl": _accents("dutch", "äëïöüáéíóúè"),
    "no": _own_letters("norwegian", "æøå"),
    "pt": _accents("portuguese", "ãõáéíóúâêôàç"),
    "ro": _accents("romanian", "ăâîșțşţ"),
    "ru": _own_letters("russian"),
    "sv": _own_letters("swedish", "äöå"),
    "ta": _own_letters("tamil"),
    "tr": _own_letters("turkish", "çğıöşü", {"I": "ı", "İ": "i"}),
}
"""Analyzers by the ISO 639-1 code of their language."""
