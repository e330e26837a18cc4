from __future__ import annotations

import json
from pathlib import Path

from rerank_search import Document, Index
from rerank_search.corpora.definition import build_index, load_definition


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
