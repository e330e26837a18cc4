from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search import Document
from rerank_search.errors import InvalidInputError
from rerank_search.plugins.mcp.links import Links, parts_of, public_id, resource_uri

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(index=IDS.filter(lambda name: "/" not in name), id=IDS)
def test_any_id_leads_back_to_its_document(index, id):
    assert parts_of(public_id(index, id)) == (index, id)


@given(id=IDS)
def test_a_uri_is_plain_text_with_the_id(id):
    uri = resource_uri("notes", id)
    assert uri.isascii()
    assert unquote(urlsplit(uri).path.removeprefix("/")) == id


@pytest.mark.parametrize(
    ("metadata", "url"),
    [
        ({"url": "https://a.example/1", "source": "https://b.example"}, "https://a.example/1"),
        ({"url": "", "source": "file:///notes/a.md"}, "file:///notes/a.md"),
        ({"url": None, "source": "notes/a.md"}, "https://docs.example/a%20b/%C3%A9?from=x%3Fy"),
        ({"url": "JavaScript://%0aalert(1)"}, "https://docs.example/a%20b/%C3%A9?from=x%3Fy"),
        ({"url": 5}, "https://docs.example/a%20b/%C3%A9?from=x%3Fy"),
        ({"url": "https://a b"}, "https://docs.example/a%20b/%C3%A9?from=x%3Fy"),
    ],
)
def test_a_url_is_the_first_that_there_is(metadata, url):
    links = Links(template="https://docs.example/{id}?from={index}")
    assert links.url("x?y", Document("a b/é", "", metadata=metadata)) == url


def test_without_a_url_a_document_is_cited_as_a_resource():
    assert Links().url("notes", Document("a/b", "")) == "rerank-search://notes/a%2Fb"


def test_other_keys_can_have_the_url():
    links = Links(keys=("link",))
    document = Document("a", "", metadata={"link": "https://a.example", "url": "https://b.example"})
    assert links.url("notes", document) == "https://a.example"


@pytest.mark.parametrize(
    "template",
    [
        "",
        "https://docs.example/",
        "docs.example/{id}",
        "https://docs.example/{id}/{name}",
        "https://docs.example/{{id}",
        "https://docs.example/{id} x",
    ],
)
def test_a_template_that_leads_nowhere_is_refused(template):
    with pytest.raises(InvalidInputError, match=r"https://docs\.example/\{id\}$"):
        Links(template=template)
