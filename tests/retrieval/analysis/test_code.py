"""Words of source code: identifiers, versions and product numbers, whole and in parts."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.retrieval.analysis import terms
from rerank_search.retrieval.memory import MemoryRetriever
from tests.asked import query_terms

EXAMPLES = Path(__file__).parents[3] / "eval" / "benchmarks" / "identifiers.toml"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("boat", "boat"),
        ("getUserName", "get^user^name getusername get user name"),
        ("snake_case", "snake_case snakecase snake case"),
        ("foo.bar", "foo.bar foobar foo bar"),
        ("HTTPServer2", "http^server2 httpserver2 http server 2 httpserver"),
        ("http2server", "http2server http 2 server"),
        ("kebab-case", "kebab-case kebabcase kebab case"),
        ("kebab\u2011case", "kebab-case kebabcase kebab case"),
        ("getURLs", "get^urls geturls get urls url"),
        ("URLsToIDs", "urls^to^ids urlstoids urls to ids url id"),
        ("IsOpen", "is^open isopen is open"),
        ("DNSsec", "dn^ssec dnssec dn ssec"),
        ("std::vector<int>", "std::vector stdvector std vector int"),
        ("__init__()", "__init__ init"),
        ("C", "c"),
        ("C++", "c++"),
        ("C++17", "c++ 17"),
        ("Ｃ＋＋", "c++"),
        ("C#", "c#"),
        ("C#10", "c# 10"),
        ("issue#12", "issue# issue 12"),
        ("page#top", "page top"),
        ("vb#", "vb# vb"),
        ("Notepad++", "notepad++ notepad"),
        (".NET", ".net net"),
        ("ASP.NET", "asp.net aspnet asp net"),
        ("v1.2.3", "v1.2.3 v 1.2.3 1.2 1"),
        ("3.11.", "3.11 3"),
        ("TLSv1.3", "tls^v1.3 tlsv1.3 tls v 1.3 1 tlsv"),
        ("IPv6", "ip^v6 ipv6 ip v 6 ipv"),
        ("1.2.3.4.5", "1.2.3.4.5"),
        ("WH-1000XM4", "wh-1000xm4 wh1000xm4 wh 1000 xm 4"),
        ("don’t", "don't dont don t"),
        ("AT&T", "at&t att at t"),
        ("x += y->z;", "x y z"),
        ("Straße_ÉCOLE", "strasse_ecole strasseecole strasse ecole"),
        ("हिन्दी", "हिन्दी"),
        ("北京getUser", "北京 北 京 get^user getuser get user"),
    ],
)
def test_words_of_a_document(word: str, expected: str) -> None:
    assert terms("code", word) == expected.split()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("e-mail", "e-mail email e mail"),
        ("e mail", "e mail email"),
        ("get user name", "get user name getuser username getusername"),
        ("北京", "北京"),
    ],
)
def test_words_of_a_query(query: str, expected: str) -> None:
    assert query_terms("code", query) == expected.split()


@pytest.mark.parametrize(("text", "expected"), [("++", ["++"]), ("=> {", ["=>", "{"]), ("。", [])])
def test_operators_are_words_if_there_is_nothing_else(text: str, expected: list[str]) -> None:
    assert terms("code", text) == query_terms("code", text) == expected
    assert terms("code", f"{text} boat") == ["boat"]


SPELLINGS = [
    ["getUserName", "get_user_name", "get-user-name", "get.user.name", "get user name"],
    ["e-mail", "email", "e mail", "E-Mail", "e_mail"],
    ["AB-1234", "AB1234", "AB 1234", "ab_1234"],
    ["don't", "dont", "don’t", "don t"],
    ["UTF-8", "utf8", "UTF 8", "Utf8"],
    ["HTTPServer", "http_server", "HttpServer", "http server"],
    ["HTTPServer2", "HTTPServer", "http server"],
    ["URLs", "url", "URL"],
    ["C#10", "C#", "c# 10"],
    ["TLSv1.3", "tlsv1.3", "TLS 1.3"],
]


@pytest.mark.parametrize("spellings", SPELLINGS)
def test_each_spelling_finds_the_others_and_itself_first(spellings: list[str]) -> None:
    documents = [f"what is {spelling} for" for spelling in spellings]
    apart = next((place for place, each in enumerate(spellings) if " " in each), None)
    retriever = MemoryRetriever(documents, analyzer="code")
    for place, spelling in enumerate(spellings):
        hits = retriever.retrieve([spelling], 10)[0]
        found = [int(hit.id) for hit in hits]
        # Only a dictionary could tell that "email" is "e mail".
        assert {*range(len(spellings))} - {*found} <= {apart}
        best = {int(hit.id) for hit in hits if hit.score == hits[0].score}
        assert place in best or place == apart


def test_queries_find_what_the_report_says_they_find() -> None:
    own = tomllib.loads(EXAMPLES.read_text(encoding="utf-8"))
    documents = own.pop("documents")
    retriever = MemoryRetriever(list(documents.values()), analyzer="code")
    missed = []
    for kind, queries in own.items():
        rankings = retriever.retrieve(list(queries), 1)
        for (query, expected), hits in zip(queries.items(), rankings, strict=True):
            if not hits or [*documents][int(hits[0].id)] != expected:
                missed.append((kind, query))
    assert missed == []


@given(st.text(alphabet="aAbB1_.-'+#&:( \u0301éЖ水ก", max_size=40))
def test_no_letter_is_lost(text: str) -> None:
    kept = "".join(terms("code", text))
    for character in text.lower().replace("é", "e"):
        assert not character.isalnum() or character in kept


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "A",
        "aA",
        "a_",
        "_",
        "a-",
        "1.",
        ".",
        ".a",
        "C++ ",
        "+",
        "#",
        "::",
        "a::",
        "'",
        "s",
        "水",
    ],
)
def test_a_long_text_goes_through(piece: str) -> None:
    text = piece * (50_000 // len(piece))
    assert len(terms("code", text)) <= 2 * len(text)
    assert len(query_terms("code", text)) <= len(text)
