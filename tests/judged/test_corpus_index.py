from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from rerank_search import Document
from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import InvalidInputError
from rerank_search.index import Index
from rerank_search.judged.corpus_index import content_key, open_corpus_index, open_existing_index

DOCUMENTS = [Document("a", "the bread"), Document("b", "a boat", "river")]
PLAIN = IndexSettings(encoder=False)


def opened(folder, documents=DOCUMENTS, settings=PLAIN, **options):
    return open_corpus_index("small", lambda: iter(documents), settings, folder, **options)


@pytest.fixture
def shown():
    """A progress, and the list of its displays: description, total and steps."""
    displays: list[list] = []

    @contextmanager
    def progress(description: str, total: float):
        display = [description, total, 0]
        displays.append(display)

        def tick(done: float) -> None:
            display[2] += done

        yield tick

    return progress, displays


def test_a_corpus_is_indexed_once_and_its_documents_are_counted_beforehand(tmp_path, shown):
    progress, displays = shown
    for _ in range(2):
        index, _ = opened(tmp_path, progress=progress)
        with index:
            assert list(index.ids()) == ["a", "b"]
    assert displays == [["reading small", 0, 2], ["indexing small", 2, 2], ["reading small", 0, 2]]
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_the_same_corpus_under_another_name_is_the_same_index(tmp_path, shown):
    progress, displays = shown
    for name in ("small", "other"):
        index, _ = open_corpus_index(
            name, lambda: iter(DOCUMENTS), PLAIN, tmp_path, progress=progress
        )
        index.close()
    assert [description for description, _, _ in displays if "indexing" in description] == [
        "indexing small"
    ]


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


def test_another_fusion_of_hybrid_is_another_ranking_of_the_same_index(tiny_encoder, tmp_path):
    encoder = str(tiny_encoder)
    found = []
    for settings in (
        IndexSettings(encoder=encoder, hybrid="rrf"),
        IndexSettings(encoder=encoder),
        IndexSettings(encoder=encoder, hybrid="scores"),
    ):
        index, key = opened(tmp_path, settings=settings)
        with index:
            [[first, *_]] = index.retriever("hybrid").retrieve(["boat"], 2)
        found.append((key, first.score))
        assert key == content_key(iter(DOCUMENTS), settings)
    assert found[0] != found[1] == found[2]
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1
    words = {
        content_key(iter(DOCUMENTS), PLAIN.model_copy(update={"hybrid": name}))
        for name in (None, "rrf", "scores")
    }
    assert len(words) == 1


def test_another_version_of_an_engine_or_other_code_is_another_index(
    install_engine, tmp_path, shown
):
    progress, displays = shown
    keys = []
    for version, code in (("1.0", ""), ("1.0", ""), ("1.1", ""), ("1.1", "CHANGED = True")):
        install_engine(version, code)
        settings = PLAIN.with_first_stages(["fixed"])
        index, key = opened(tmp_path / "indexes", settings=settings, progress=progress)
        index.close()
        keys.append(key)
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert sum("indexing" in description for description, _, _ in displays) == 3


def test_the_key_of_an_existing_index_follows_the_version_of_its_engines(install_engine, tmp_path):
    install_engine("1.0")
    with PLAIN.with_first_stages(["fixed"]).create_index(tmp_path / "made") as index:
        index.add(DOCUMENTS)
    keys = []
    for version in ("1.0", "1.0", "1.1"):
        install_engine(version)
        index, key = open_existing_index(tmp_path / "made")
        index.close()
        keys.append(key)
    assert keys[0] == keys[1] != keys[2]


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
    unfinished = tmp_path / f"{key}.building"
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
    with Index.open(tmp_path / key) as index:
        assert len(index) == 2


def test_an_empty_corpus_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="the corpus of small has no documents"):
        opened(tmp_path, documents=[])


@pytest.mark.parametrize("damage", ["documents.sqlite", "manifest.json", "no manifest"])
@pytest.mark.parametrize("folder", ["", ".building"])
def test_a_damaged_index_is_built_anew(tmp_path, caplog, folder, damage):
    index, key = opened(tmp_path)
    index.close()
    path = tmp_path / f"{key}{folder}"
    if folder:
        (tmp_path / key).rename(path)
    if damage == "no manifest":
        (path / "manifest.json").unlink()  # as after a process that was killed early
    else:
        (path / damage).write_bytes(b"damaged " * 1000)
    for _ in range(2):
        index, _ = opened(tmp_path)
        with index:
            [hits] = index.retriever("bm25").retrieve(["bread"], 1)
            assert [hit.id for hit in hits] == ["a"]
    [record] = caplog.records
    assert record.message == f"the index {path} is damaged, so it is built again"


def test_a_folder_that_cannot_be_made_is_said_to_be_none(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="cannot be used as a path"):
        opened(tmp_path / "file" / "indexes")


BUILDER = """
import sys
from pathlib import Path
from rerank_search import Document
from rerank_search.corpora.definition import IndexSettings
from rerank_search.judged.corpus_index import open_corpus_index

calls = 0

def documents():
    global calls
    calls += 1
    yield Document("a", "the bread")
    if calls == 2:  # the first call is for the key, this one for the index
        print("building", flush=True)
        sys.stdin.readline()
    yield Document("b", "a boat", "river")

index, _ = open_corpus_index("small", documents, IndexSettings(encoder=False), Path(sys.argv[1]))
with index:
    print("built" if calls == 2 else "found", len(index), flush=True)
"""


def builder(folder: Path) -> subprocess.Popen[str]:
    """A process that builds the index of DOCUMENTS, and waits for a line while it does."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str], *, of_errors: bool = False) -> str:
    """The next line that the process writes."""
    stream = process.stderr if of_errors else process.stdout
    assert stream is not None
    return stream.readline().strip()


@pytest.mark.process
def test_a_process_waits_for_another_one_that_is_building_the_same_index(tmp_path):
    first = builder(tmp_path)
    assert line(first) == "building"
    second = builder(tmp_path)
    assert line(second, of_errors=True).endswith("waiting for it")
    output, errors = first.communicate("go on\n", timeout=60)
    assert (output, errors) == ("built 2\n", "")
    output, errors = second.communicate(timeout=60)
    assert (output, errors) == ("found 2\n", "")


@pytest.mark.process
def test_a_process_goes_on_when_the_one_that_was_building_is_killed(tmp_path):
    first = builder(tmp_path)
    assert line(first) == "building"
    second = builder(tmp_path)
    assert line(second, of_errors=True).endswith("waiting for it")
    first.kill()
    first.communicate()
    assert line(second) == "building"
    output, errors = second.communicate("go on\n", timeout=60)
    assert (output, errors) == ("built 2\n", "")
