"""Documents, filters and queries with which stores are checked."""

from __future__ import annotations

from typing import Any

from rerank_search.types import Document, Filter

WORDS = ("boat", "river", "bread", "oven", "snow", "train", "violin")

ODD_IDS = (
    "a",
    "A",
    "10",
    "9",
    "é",
    "e\u0301",
    "東京",
    "🙂",
    "a/b c?d#e%2F",
    "'; --",
    '"',
    "\\",
    "x" * 200,
)

IMPOSSIBLE_IDS = ("", "a\0b", "\ud800")
"""Ids that no document can have, which are asked for."""

METADATA: tuple[dict[str, Any], ...] = (
    {},
    {"n": 1, "lang": "en", "tags": ["new", "old"], "ok": True},
    {"n": 1.0, "lang": "EN", "tags": ["new"], "ok": False},
    {"n": 2.5, "lang": "de", "tags": [], "ok": None},
    {"n": "1", "lang": "en-GB", "tags": "new", "ok": 1},
    {"n": True, "lang": None, "tags": [1, "1", True, None]},
    {"n": 2**53 + 1, "lang": "fr", "author": {"name": "Ann", "born": 1990}},
    {"n": -3, "lang": ["en", "de"], "author": [{"name": "Bob"}, {"name": "Ann"}]},
    {"n": 1e300, "lang": "Ünïcode 東京 🙂", "author": {"name": ["Cy", "Dee"]}},
    {"n": 0, "lang": "", "a.b": "dotted", "author": "Ann", "tags": [["new"], {"new": 1}]},
    {"n": [1, 2, 3], "lang": "100%_[x]*", "tags": ["100%", "a\\b", "it's", 'a "word"']},
)
"""Metadata of the documents, in turn: one key may have values of all kinds."""

FILTERS: tuple[Filter, ...] = (
    {},
    {"lang": "en"},
    {"lang": "EN"},
    {"lang": None},
    {"lang": ""},
    {"lang": "Ünïcode 東京 🙂"},
    {"n": 1},
    {"n": 1.0},
    {"n": "1"},
    {"n": True},
    {"n": 2**53 + 1},
    {"n": 2**53},
    {"n": float(2**53)},
    {"n": 10**300},
    {"n": 2**70},
    {"ok": True},
    {"ok": 1},
    {"ok": {"$ne": True}},
    {"lang": {"$in": ["en", "fr", None, 1]}},
    {"lang": {"$in": []}},
    {"lang": {"$nin": ["en"]}},
    {"n": {"$in": [1, 2.5, "1"]}},
    {"n": {"$gt": 1}},
    {"n": {"$gte": 1, "$lt": 2**53 + 1}},
    {"n": {"$lte": 2**53}},
    {"n": {"$lt": 0.5}},
    {"n": {"$gt": "0"}},
    {"lang": {"$gte": "de", "$lt": "f"}},
    {"tags": "new"},
    {"tags": {"$contains": "new"}},
    {"lang": {"$contains": "n"}},
    {"tags": {"$contains": 1}},
    {"tags": {"$contains": None}},
    {"tags": {"$all": ["new", "old"]}},
    {"tags": {"$in": ["100%", 'a "word"', "it's"]}},
    {"lang": {"$prefix": "en"}},
    {"lang": {"$prefix": "100%_"}},
    {"lang": {"$prefix": ""}},
    {"lang": {"$glob": "e*"}},
    {"lang": {"$glob": "?[nN]*"}},
    {"lang": {"$glob": "100%_[[]x]*"}},
    {"tags": {"$glob": "*\\\\*"}},
    {"n": {"$exists": True}},
    {"ok": {"$exists": False}},
    {"a.b": "dotted"},
    {"$.author.name": "Ann"},
    {"$.author.name": {"$contains": "Dee"}},
    {"$.author.born": {"$gt": 1980}},
    {"$.author.name": {"$exists": False}},
    {"author": {"$exists": True}},
    {"author": "Ann"},
    {"no such key": 1},
    {"no such key": {"$ne": 1}},
    {"$not": {"lang": "en"}},
    {"$or": [{"lang": "en"}, {"n": {"$lt": 0}}]},
    {"$and": [{"lang": {"$exists": True}}, {"$not": {"tags": {"$exists": True}}}]},
    {"lang": {"$not": {"$prefix": "e"}}, "n": {"$ne": 0}},
)
"""Filters of every kind; what they allow is what an index finds with them."""


QUERIES = ("boat", "bread in the oven", "a violin and snow")


def sample_documents() -> list[Document]:
    """Documents with the word "boat", some of them with the same text."""
    ids = [*ODD_IDS, *(f"d{number:02}" for number in range(22))]
    return [
        Document(
            id,
            f"the boat, the {WORDS[number % 7]} and the {WORDS[number % 5]}"
            + " and snow" * (number % 3),
            "" if number % 4 else f"On the {WORDS[number % 6]}",
            {**METADATA[number % len(METADATA)], "even": number % 2 == 0},
        )
        for number, id in enumerate(ids)
    ]
