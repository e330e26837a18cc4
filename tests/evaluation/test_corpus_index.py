from __future__ import annotations

import pytest

from rerank_search import Document
from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.corpus_index import content_key, open_corpus_index
from rerank_search.index import Index

DOCUMENTS = [Document("a", "the bread"), Document("b", "a boat", "river")]
PLAIN = IndexSettings(encoder=False)


def opened(folder, documents=DOCUMENTS, settings=PLAIN, **options):
    return open_corpus_index("small", lambda: iter(documents), settings, folder, **options)


def test_a_corpus_is_indexed_once(tmp_path):
    ticks: list[int] = []
    for _ in range(2):
        index, _ = opened(tmp_path, progress=ticks.append)
        with index:
            assert list(index.ids()) == ["a", "b"]
    assert sum(ticks) == len(DOCUMENTS)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "other",
    [
        [DOCUMENTS[0]],
        [DOCUMENTS[0], Document("b", "a boat", "sea")],
        [DOCUMENTS[0], Document("c", "a boat", "river")],
        [DOCUMENTS[0], Document("b", "a boatr", "iver")],
    ],
)
def test_another_content_is_another_index(other):
    assert content_key(iter(other), PLAIN) != content_key(iter(DOCUMENTS), PLAIN)


def test_other_settings_are_another_index(tiny_encoder):
    keys = {
        content_key(iter(DOCUMENTS), settings)
        for settings in (
            PLAIN,
            IndexSettings(encoder=str(tiny_encoder)),
            IndexSettings(encoder=False, analyzer="plain"),
            IndexSettings(encoder=False, passages=False),
        )
    }
    assert len(keys) == 4


def test_an_encoder_that_was_moved_is_the_same(tiny_encoder, tmp_path):
    moved = tmp_path / "moved"
    moved.symlink_to(tiny_encoder)
    here, there = IndexSettings(encoder=str(tiny_encoder)), IndexSettings(encoder=str(moved))
    assert content_key(iter(DOCUMENTS), here) == content_key(iter(DOCUMENTS), there)


def test_a_build_that_was_interrupted_goes_on(tmp_path):
    def failing():
        yield DOCUMENTS[0]
        raise KeyboardInterrupt

    key = content_key(iter(DOCUMENTS), PLAIN)
    unfinished = tmp_path / f"small-{key}.building"
    with PLAIN.create_index(unfinished) as index, pytest.raises(KeyboardInterrupt):
        index.add(failing())
    index, _ = opened(tmp_path)
    with index:
        assert len(index) == 2
    assert not unfinished.exists()


def test_the_index_cannot_be_changed(tmp_path):
    index, key = opened(tmp_path)
    with index, pytest.raises(Exception, match="read"):
        index.delete(["a"])
    with Index.open(tmp_path / f"small-{key}") as index:
        assert len(index) == 2


def test_an_empty_corpus_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="the corpus of small is empty"):
        opened(tmp_path, documents=[])
