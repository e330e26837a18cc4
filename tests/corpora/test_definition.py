from __future__ import annotations

import json
from pathlib import Path

import pytest

from rerank_search import Document, Index
from rerank_search.corpora.definition import build_index, load_definition
from rerank_search.errors import IndexMismatchError, InvalidInputError


def is_short(document: Document) -> bool:
    return len(document.text) < 10


def test_a_part_is_built_first_and_the_rest_later(tmp_path: Path) -> None:
    lines = [{"id": "a", "text": "short"}, {"id": "b", "text": "long " * 10}]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "docs.toml").write_text('files = ["docs.jsonl"]\nencoder = false\n')
    definition = load_definition(tmp_path / "docs.toml")

    part = build_index(definition, tmp_path / "index", only=is_short)
    whole = build_index(definition, tmp_path / "index")
    again = build_index(definition, tmp_path / "index", only=is_short)

    assert (part.documents, part.written) == (1, 1)
    assert (whole.documents, whole.written) == (2, 1)
    assert (again.documents, again.written, again.deleted) == (2, 0, 0)
    with Index.open(tmp_path / "index") as index:
        assert list(index.ids()) == ["a", "b"]


def test_a_language_may_be_named_by_its_code_and_stop_words_are_settings(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"id": "a", "text": "die Häuser"}\n')
    definition = tmp_path / "docs.toml"
    settings = 'files = ["docs.jsonl"]\nencoder = false\n'
    for analyzer in ("de", "german"):
        definition.write_text(f'{settings}analyzer = "{analyzer}"\nstop_words = ["die"]\n')
        assert build_index(load_definition(definition), tmp_path / "index").documents == 1
    definition.write_text(settings + 'analyzer = "de"\nstop_words = "language"\n')
    with pytest.raises(IndexMismatchError, match="stop_words"):
        build_index(load_definition(definition), tmp_path / "index")


def test_an_empty_list_of_stop_words_is_none(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"id": "a", "text": "red"}\n')
    for said in ("stop_words = []\n", ""):
        (tmp_path / "docs.toml").write_text(f'files = ["docs.jsonl"]\nencoder = false\n{said}')
        assert build_index(load_definition(tmp_path / "docs.toml"), tmp_path / "index").documents


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ('analyzer = "klingon"', "analyzer: there is no analyzer 'klingon'"),
        ('analyzer = "ta"\nstop_words = "language"', "stop_words: there is no list of stop words"),
        ('stop_words = "the"', "stop_words='the' is one string: give"),
        ('stop_words = ["-"]', "which is not a word"),
    ],
)
def test_unusable_words_are_named(tmp_path: Path, words: str, message: str) -> None:
    (tmp_path / "docs.jsonl").write_text('{"id": "a", "text": "x"}\n')
    (tmp_path / "docs.toml").write_text(f'files = ["docs.jsonl"]\nencoder = false\n{words}\n')
    with pytest.raises(InvalidInputError, match=message):
        load_definition(tmp_path / "docs.toml")


def test_hybrid_of_a_definition_is_set_and_otherwise_kept(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"id": "a", "text": "red", "vector": [1.0, 0.0]}\n')
    settings = 'files = ["docs.jsonl"]\nencoder = false\ndimension = 2\n'
    found = []
    for said in ("", 'hybrid = "rrf"\n', "", 'hybrid = "scores"\n'):
        (tmp_path / "docs.toml").write_text(settings + said)
        built = build_index(load_definition(tmp_path / "docs.toml"), tmp_path / "index")
        assert built.written == (not found)
        with Index.open(tmp_path / "index", read_only=True) as index:
            found.append(index.info().hybrid)
    assert found == ["scores", "rrf", "rrf", "scores"]
