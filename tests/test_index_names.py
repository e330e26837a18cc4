from __future__ import annotations

from pathlib import Path

import pytest

from rerank_search import Index
from rerank_search.index_names import index_name, index_of, is_file_of_index, named_index


def made(path: Path) -> Path:
    Index.create(path, encoder=None).close()
    return path


def test_the_index_of_a_definition_lies_beside_it(tmp_path: Path) -> None:
    assert index_of(tmp_path / "notes.toml") == tmp_path / "notes"
    (tmp_path / "notes").mkdir()
    assert index_of(tmp_path / "notes.toml") == tmp_path / "notes"
    made(tmp_path / "notes")
    assert index_of(tmp_path / "notes.toml") == tmp_path / "notes"


@pytest.mark.parametrize("taken", ["notes/corpus.jsonl", "notes"])
def test_a_name_that_documents_have_taken_gets_an_ending(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("")
    assert index_of(tmp_path / "notes.toml") == tmp_path / "notes.index"
    index = made(tmp_path / "notes.index")
    assert named_index(tmp_path, "notes") == index
    assert index_name(index) == "notes"


def test_of_two_indexes_the_one_without_the_ending_has_the_name(tmp_path: Path) -> None:
    plain, marked = made(tmp_path / "notes"), made(tmp_path / "notes.index")
    assert named_index(tmp_path, "notes") == plain
    assert named_index(tmp_path, "notes.index") == marked
    assert (index_name(plain), index_name(marked)) == ("notes", "notes.index")


def test_what_an_index_is_made_of_is_told_from_what_lies_beside_it(tmp_path: Path) -> None:
    index = made(tmp_path / "notes")
    (index / "corpus.jsonl").write_text("")
    files = {path.name: is_file_of_index(path) for path in index.rglob("*.json*")}
    assert files["corpus.jsonl"] is False
    assert files.keys() > {"manifest.json", "meta.json", "state.json"}
    assert [name for name, own in files.items() if not own] == ["corpus.jsonl"]
    assert not is_file_of_index(tmp_path / "manifest.json")


def test_the_folder_of_any_engine_is_part_of_the_index(tmp_path: Path) -> None:
    for file in ("manifest.json", "substring/state.json", "substring/more.jsonl", "own/a.jsonl"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert is_file_of_index(tmp_path / "substring" / "more.jsonl")
    assert not is_file_of_index(tmp_path / "own" / "a.jsonl")
