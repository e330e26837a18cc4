"""Everything that reads users' texts takes time in proportion to their length."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from rerank_search import Document, Index
from rerank_search.cli.filter_argument import parsed_filter
from rerank_search.corpora.lines import typed_value
from rerank_search.errors import InvalidInputError
from rerank_search.judged.formats.trec import read_topics
from rerank_search.remembered import key_of
from rerank_search.retrieval.analysis import QueryTerms, Words, terms
from rerank_search.retrieval.folding import folded, nfkc
from rerank_search.serving.errors import ApiError
from rerank_search.serving.strict_json import strict_json
from rerank_search.storage import boundaries
from rerank_search.storage.boundaries import characters, words
from rerank_search.storage.passages import Splitter
from rerank_search.training.data.made_up import SENTENCE_END
from rerank_search.training.data.texts import letters_and_digits

SIZE, LARGE = 100_000, 400_000

SECONDS = 20.0
"""CPU limit: the work takes less than 2 s if it is linear, and many minutes if quadratic."""

PIECES = {
    "dots": ".",
    "exclamation marks": "!",
    "both marks": "?!",
    "ellipses": "…",
    "Chinese full stops": "。",
    "sentence ends without space": '."',
    "dandas": "।",
    "Thai": "ก",
    "Thai clauses": "ก ",
    "Thai before quotes": 'ก "',
    "Thai after quotes": 'ก"',
    "double quotes": '"',
    "closing quotes": "’",
    "brackets": "[",
    "closing brackets": ")]",
    "braces": "{",
    "angle brackets": "<",
    "tags": "<top>",
    "operators": "=<",
    "backslashes": "\\",
    "blanks": " ",
    "newlines": "\n",
    "blank lines": "\n \t",
    "one letter": "a",
    "one-letter words": "a ",
    "one-letter sentences": "a. ",
    "one-letter lines": "a\n",
    "digits": "1",
    "decimals": "1.",
    "accented letters": "é",
    "Chinese": "中",
    "soft hyphens": "\u00ad",
    "joiners between letters": "क\u200d",
    "marks": "\u0301",
    "marks of two classes": "\u0301\u0316",
    "composed marks of two classes": "\u0f73\u0316",
    "halfwidth voicing": "\uff9e\u0316",
    "Thai tones and vowels": "\u0e48\u0e38",
    "hidden between marks": "\u0e48\u200d\u0e38",
    "emoji": "😀",
    "NUL": "\0",
}


def passage_spans(text: str) -> None:
    Splitter(words, tokens=256, overlap=64).split("", text)


def passage_spans_by_letters(text: str) -> None:
    """Passages by a tokeniser of single characters."""
    offsets = [(place, place + 1) for place in range(len(text)) if not text[place].isspace()]
    Splitter(lambda _: offsets, tokens=256, overlap=64).split("", text)


def filter_of(text: str) -> None:
    for argument in (text, f"key={text}", f"{text}=value"):
        with suppress(typer.BadParameter):
            parsed_filter([argument])


def json_of(text: str) -> None:
    for body in (text, json.dumps(text), '"' + text, "[" * 65 + '"' + text):
        with suppress(ApiError):
            strict_json(body.encode(), 64)


ASKED = QueryTerms(["ab", "水道", "กำล", "ลัง"])

READERS: dict[str, Callable[[str], object]] = {
    "passages": passage_spans,
    "passages by letters": passage_spans_by_letters,
    "characters": lambda text: characters(text, 0, len(text)),
    "made-up queries": SENTENCE_END.split,
    "folding": folded,
    "NFKC": nfkc,
    "terms": lambda text: terms("english", text),
    "terms of code": lambda text: terms("code", text),
    "matches": lambda text: Words("multilingual").matches(ASKED, [text]),
    "terms of any language": lambda text: terms("multilingual", text),
    "terms of a language": lambda text: terms("german", text),
    "terms of the text's own language": lambda text: terms("auto", text),
    "terms of an earlier version": lambda text: terms("english", text, 1),
    "equal texts of training": letters_and_digits,
    "filter argument": filter_of,
    "typed value": typed_value,
    "JSON": json_of,
    "remembered texts": key_of,
}


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("reader", READERS)
def test_a_long_text_is_read_in_linear_time(reader: str, piece: str) -> None:
    text = "word" + PIECES[piece] * (SIZE // len(PIECES[piece]))
    started = time.process_time()
    READERS[reader](text)
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("piece", ["a\n", "<num>", "<title>a\n", "\n", "a <narr> b\n"])
def test_topics_are_read_in_linear_time(tmp_path: Path, piece: str) -> None:
    file = tmp_path / "topics"
    file.write_text(
        f"<top>\n<num> Number: 1\n<title> boat {piece * (SIZE // len(piece))}\n</top>\n"
    )
    started = time.process_time()
    with suppress(InvalidInputError):  # some have no title
        read_topics(file)
    assert time.process_time() - started < SECONDS


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["dots", "both marks", "one letter", "one-letter sentences", "marks of two classes"]
)
def test_a_large_document_is_indexed_in_linear_time(tmp_path: Path, piece: str) -> None:
    text = "word " + PIECES[piece] * (LARGE // len(PIECES[piece]))
    with Index.create(tmp_path / "index", encoder=None) as index:
        started = time.process_time()
        index.add([Document("text", text), Document("title", "sea", title=text)])
        assert time.process_time() - started < SECONDS
        found = index.retriever("bm25").retrieve(["word"], 3)[0]
        assert {hit.id for hit in found} == {"text", "title"}


def test_a_title_of_one_endless_word_is_not_indexed_with_every_passage(tmp_path: Path) -> None:
    text = "All work and no play makes a dull boy. " * (LARGE // 39)
    with Index.create(tmp_path / "index", encoder=None) as index:
        started = time.process_time()
        index.add([Document("a", text, title="z" * LARGE)])
        assert time.process_time() - started < 2 * SECONDS


THAI = "[\u0e01-\u0e2e\u0e30-\u0e3a\u0e40-\u0e45\u0e47-\u0e4e]"
STARTS_IN_THAI = "[\u0e01-\u0e2e\u0e40-\u0e44]"
SENTENCE_END = re.compile(
    r"""[.!?…]+["'”’»)\]]*\s+|[。！？؟।]+["'”’»)\]）」』]*\s*|\n\s*\n\s*"""
    rf"""|{THAI}["'”’»)\]]*\s+(?=["'“‘«(\[]*{STARTS_IN_THAI})"""
)
"""A pattern for ends of sentences that is easier to read, and quadratic."""


@given(st.text(alphabet=".!?…。؟।\"'”“)]( \n\t\u3000aéก้ๆเ", max_size=40))
def test_sentences_end_where_the_simple_expression_says(text: str) -> None:
    expected = [match.span() for match in SENTENCE_END.finditer(text)]
    assert [match.span() for match in boundaries.SENTENCE_END.finditer(text)] == expected


NODE = shutil.which("node")
UI = Path(boundaries.__file__).parents[1] / "serving" / "ui"
SCRIPT = f"""
import {{ excerpt, withMatches }} from "{UI.as_uri()}/text.js";
import {{ parseFilter }} from "{UI.as_uri()}/filter.js";
const attempt = (text) => {{ try {{ parseFilter(text); }} catch {{ /* no filter */ }} }};
let input = "";
for await (const part of process.stdin) input += part;
for (const [name, piece] of Object.entries(JSON.parse(input))) {{
  const text = "word" + piece.repeat({SIZE} / piece.length);
  const started = performance.now();
  excerpt(withMatches(text, []), [0, {SIZE}]);
  attempt(text);
  attempt("key=" + text);
  if (performance.now() - started > {SECONDS * 1000}) console.log(name);
}}
"""


@pytest.mark.slow
@pytest.mark.skipif(NODE is None, reason="needs node: apt-get install nodejs")
def test_the_page_reads_a_long_text_in_linear_time() -> None:
    done = subprocess.run(
        [str(NODE), "--input-type=module", "--eval", SCRIPT],
        input=json.dumps(PIECES),
        capture_output=True,
        text=True,
        check=True,
        timeout=len(PIECES) * SECONDS,
    )
    assert done.stdout == ""
