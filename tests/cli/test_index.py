from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from rerank_search import Index
from rerank_search.errors import (
    IndexExistsError,
    IndexLockedError,
    IndexMismatchError,
    IndexNotFoundError,
    InvalidDocumentError,
    InvalidInputError,
    ModelNotFoundError,
)
from rerank_search.lock import ProcessLock

Run = Callable[..., Result]
Called = Callable[..., subprocess.CompletedProcess[str]]
Answer = Callable[..., Any]


def test_a_plain_name_is_created_below_indexes(folder: Path, answer: Answer) -> None:
    assert answer("index", "create", "notes", "--no-encoder") == {"index": "indexes/notes"}
    assert (folder / "indexes" / "notes" / "manifest.json").is_file()


def test_a_path_is_created_where_it_says(folder: Path, run: Run) -> None:
    assert run("index", "create", "./here", "--no-encoder").exit_code == 0
    assert (folder / "here" / "manifest.json").is_file()


def test_names_are_found_below_the_home_folder_too(
    folder: Path, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = folder / "home"
    monkeypatch.setenv("RERANK_SEARCH_HOME", str(home))
    answer("index", "create", "notes", "--no-encoder")
    assert (home / "notes").is_dir()
    (folder / "indexes").mkdir()
    assert answer("index", "info", "notes")["documents"] == 0


def test_an_unknown_name_is_an_error_that_names_those_there_are(notes: Path, run: Run) -> None:
    result = run("index", "info", "nodes")
    assert isinstance(result.exception, IndexNotFoundError)
    assert "notes" in str(result.exception)


def test_list_has_the_indexes_that_names_lead_to(
    notes: Path, folder: Path, answer: Answer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = folder / "home"
    monkeypatch.setenv("RERANK_SEARCH_HOME", str(home))
    assert run("index", "create", str(home / "more"), "--no-encoder").exit_code == 0
    (home / "more" / "manifest.json").write_text("damaged")
    here, there = answer("index", "list")
    assert here == {
        "name": "notes",
        "index": "indexes/notes",
        "documents": 3,
        "encoder": None,
        "problem": None,
    }
    assert there["name"] == "more"
    assert there["documents"] is None
    assert "damaged" in there["problem"]
    assert "notes" in run("index", "list").stdout


def test_without_an_index_the_list_is_empty(folder: Path, answer: Answer) -> None:
    assert answer("index", "list") == []


@pytest.mark.parametrize("command", ["create", "info"])
def test_an_empty_name_is_no_index(folder: Path, run: Run, command: str) -> None:
    result = run("index", command, "")
    assert isinstance(result.exception, InvalidInputError)
    assert not (folder / "indexes").exists()


def test_an_empty_name_of_an_encoder_is_not_none(folder: Path, run: Run) -> None:
    result = run("index", "create", "notes", "--encoder", "")
    assert isinstance(result.exception, ModelNotFoundError)


def test_an_index_below_a_file_is_refused(notes: Path, run: Run) -> None:
    result = run("index", "create", "notes.jsonl/below", "--no-encoder")
    assert isinstance(result.exception, InvalidInputError)
    assert "notes.jsonl/below" in str(result.exception)


def test_creating_an_index_twice_is_an_error(notes: Path, run: Run) -> None:
    result = run("index", "create", "notes", "--no-encoder")
    assert isinstance(result.exception, IndexExistsError)
    assert "use it as it is" in str(result.exception)


@pytest.mark.parametrize("taken", ["./notes", "./notes.index"])
def test_a_name_that_stands_for_an_index_elsewhere_is_not_used_for_a_new_one(
    folder: Path, run: Run, answer: Answer, taken: str
) -> None:
    answer("index", "create", taken, "--no-encoder")
    result = run("index", "create", "notes", "--no-encoder")
    assert isinstance(result.exception, IndexExistsError)
    assert f"stands for the index {taken}" in str(result.exception)
    assert "indexes/notes" in str(result.exception)
    # A path is clear.
    assert run("index", "create", "indexes/notes", "--no-encoder").exit_code == 0


def test_a_folder_of_documents_does_not_take_the_name_of_an_index(
    folder: Path, answer: Answer
) -> None:
    (folder / "notes").mkdir()
    (folder / "notes" / "corpus.jsonl").touch()
    answer("index", "create", "notes", "--no-encoder")
    assert answer("index", "info", "notes")["path"] == "indexes/notes"


def test_info_names_the_first_stages_and_the_size_of_each_engine(
    folder: Path, run: Run, answer: Answer, install_engine: Callable[..., Path]
) -> None:
    install_engine()
    answer("index", "create", "notes", "--no-encoder", "--first-stage", "fixed")
    info = answer("index", "info", "notes")
    assert info["first_stages"] == ["fixed", "bm25"]
    sizes = info["bytes_engines"]
    assert sizes == {"fixed": sizes["fixed"], "bm25": info["bytes_bm25"]}
    assert min(sizes.values()) > 0
    lines = run("index", "info", "notes").stdout.splitlines()
    assert "first_stages     fixed, bm25" in lines
    assert f"bytes_engines    fixed {sizes['fixed']}, bm25 {sizes['bm25']}" in lines


def test_encoder_and_no_encoder_exclude_each_other(folder: Path, run: Run) -> None:
    assert run("index", "create", "n", "--encoder", "x", "--no-encoder").exit_code == 2
    result = run("index", "create", "n", "--no-encoder", "--truncate-dim", "8")
    assert "truncate_dim needs an encoder" in str(result.exception)
    assert not Path("indexes/n").exists()


def test_an_index_is_created_with_a_sparse_encoder(
    folder: Path, answer: Answer, sparse_encoder: Path
) -> None:
    answer("index", "create", "notes", "--no-encoder", "--sparse-encoder", str(sparse_encoder))
    info = answer("index", "info", "notes")
    assert (info["sparse_encoder"], info["first_stages"]) == (
        str(sparse_encoder),
        ["sparse", "bm25"],
    )


def test_create_passes_its_options_on(folder: Path, answer: Answer, tiny_encoder: Path) -> None:
    options = ("--encoder", str(tiny_encoder), "--analyzer", "sv", "--no-passages")
    options += ("--stop-words", "och, eller")
    vectors = ("--truncate-dim", "8", "--vector-dtype", "int8", "--query-prompt", "query: ")
    vectors += ("--hybrid", "rrf")
    answer("index", "create", "notes", *options, *vectors, "--document-prompt", "passage: ")
    info = answer("index", "info", "notes")
    manifest = json.loads(Path("indexes/notes/manifest.json").read_text())
    assert manifest["encoder"]["prompts"] == {"query": "query: ", "document": "passage: "}
    assert (manifest["vector_dtype"], info["dimension"]) == ("int8", 8)
    assert info["encoder"] == str(tiny_encoder)
    assert (info["analyzer"], info["hybrid"]) == ("swedish", "rrf")
    assert manifest["stop_words"] == ["och", "eller"]
    assert info["passage_tokens"] is None


def test_set_changes_how_hybrid_combines_its_stages(folder: Path, run: Run, answer: Answer) -> None:
    answer("index", "create", "notes", "--dimension", "2")
    assert answer("index", "info", "notes")["hybrid"] == "scores"
    assert answer("index", "set", "notes", "--hybrid", "rrf")["hybrid"] == "rrf"
    assert answer("index", "info", "notes")["hybrid"] == "rrf"
    assert run("index", "set", "notes", "--hybrid", "ranks").exit_code == 2
    assert run("index", "set", "notes").exit_code == 2


def test_set_refuses_hybrid_for_an_index_without_vectors(notes: Path, called: Called) -> None:
    before = (notes / "manifest.json").read_bytes()
    refused = called("index", "set", "notes", "--hybrid", "rrf")
    assert (refused.returncode, "has no vectors" in refused.stderr) == (2, True)
    assert (notes / "manifest.json").read_bytes() == before


def test_add_says_what_was_written(notes: Path, answer: Answer, folder: Path) -> None:
    more = folder / "more.jsonl"
    more.write_text('{"id": "new", "text": "x"}\n{"id": "split", "text": "another text"}\n')
    found = answer("index", "add", "notes", str(more))
    assert found == {"written": 2, "skipped": 0, "replaced": 0, "documents": 4}


def test_add_and_build_say_how_many_documents_a_later_one_replaced(
    notes: Path, answer: Answer, run: Run, folder: Path
) -> None:
    twice = folder / "twice.jsonl"
    twice.write_text('{"id": "new", "text": "x"}\n{"id": "new", "text": "y"}\n')
    assert answer("index", "add", "notes", str(twice))["replaced"] == 1
    printed = run("index", "add", "notes", str(twice)).stdout
    assert "; 1 document replaced by a later one with the same id" in printed
    (folder / "again.toml").write_text('files = ["twice.jsonl"]\nencoder = false\n')
    assert answer("index", "build", "again.toml")["replaced"] == 1


def test_create_makes_an_index_with_a_further_first_stage_or_says_why_not(
    folder: Path, run: Run
) -> None:
    result = run("index", "create", "n", "--no-encoder", "--first-stage", "unknown")
    assert result.exit_code != 0
    assert "there is no first stage 'unknown'" in str(result.exception)
    assert not isinstance(result.exception, SystemExit)


def test_a_malformed_line_stops_and_what_was_there_stays(
    notes: Path, run: Run, answer: Answer, folder: Path
) -> None:
    (folder / "bad.jsonl").write_text('{"id": "new", "text": "x"}\nnonsense\n')
    result = run("index", "add", "notes", "bad.jsonl")
    assert isinstance(result.exception, InvalidDocumentError)
    assert "bad.jsonl, line 2" in str(result.exception)
    assert answer("index", "verify", "notes") == {"problems": []}
    with Index.open(notes, read_only=True) as index:
        assert {"join", "shell", "split"} <= set(index.ids())


def test_skip_invalid_counts_the_lines_and_goes_on(notes: Path, run: Run, folder: Path) -> None:
    (folder / "bad.jsonl").write_text('nonsense\n{"id": "new", "text": "x"}\n')
    result = run("index", "add", "notes", "bad.jsonl", "--skip-invalid", "--json")
    assert json.loads(result.stdout) == {"written": 1, "skipped": 1, "replaced": 0, "documents": 4}
    assert "bad.jsonl, line 1: not JSON" in result.stderr
    assert "1 malformed lines skipped" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("add", "notes", "notes.jsonl"),
        ("delete", "notes", "join"),
        ("compact", "notes"),
        ("rebuild", "notes"),
    ],
)
def test_a_command_that_waits_in_vain_for_another_writer_says_who_that_is(
    notes: Path, run: Run, command: tuple[str, ...]
) -> None:
    other = ProcessLock(notes / "write.lock")
    assert other.acquire(0)
    result = run("index", *command, "--lock-timeout", "0.1")
    other.release()
    assert isinstance(result.exception, IndexLockedError)
    assert "this process itself, since" in str(result.exception)
    assert "--lock-timeout" in str(result.exception)
    assert run("index", *command, "--lock-timeout", "0").exit_code == 0


def test_deleting_counts_only_what_was_there(notes: Path, answer: Answer) -> None:
    assert answer("index", "delete", "notes", "join", "nowhere") == {"deleted": 1, "documents": 2}


def test_verify_fails_on_a_damaged_index_and_rebuild_mends_it(notes: Path, run: Run) -> None:
    for file in (notes / "bm25").rglob("*"):
        if file.is_file():
            file.write_bytes(b"damaged")
    result = run("index", "verify", "notes", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"]
    assert run("index", "rebuild", "notes").exit_code == 0
    assert run("index", "verify", "notes").exit_code == 0


def test_compact_keeps_every_document(notes: Path, answer: Answer) -> None:
    answer("index", "delete", "notes", "join")
    assert answer("index", "compact", "notes")["bytes_after"] > 0
    assert answer("index", "info", "notes")["documents"] == 2


@pytest.fixture
def definition(folder: Path) -> Path:
    (folder / "corpus").mkdir()
    for n in range(3):
        (folder / "corpus" / f"{n}.jsonl").write_text(f'{{"id": "d{n}", "text": "text {n}"}}\n')
    file = folder / "notes.toml"
    file.write_text('files = ["corpus/*.jsonl"]\nencoder = false\n')
    return file


def test_build_makes_the_index_beside_its_definition(definition: Path, answer: Answer) -> None:
    built = answer("index", "build", str(definition))
    folder = definition.with_suffix("")
    assert built == {
        "index": str(folder),
        "documents": 3,
        "written": 3,
        "deleted": 0,
        "replaced": 0,
    }


def test_an_index_whose_name_its_documents_have_is_built_beside_them(
    folder: Path, run: Run, answer: Answer
) -> None:
    corpus = folder / "indexes" / "notes"
    corpus.mkdir(parents=True)
    (corpus / "a.jsonl").write_text('{"id": "a", "text": "some words"}\n')
    (folder / "indexes" / "notes.toml").write_text('files = ["notes/*.jsonl"]\nencoder = false\n')
    for written in (1, 0):
        built = answer("index", "build", "indexes/notes.toml")
        assert (built["index"], built["written"]) == ("indexes/notes.index", written)
    for name in ("notes", "indexes/notes", "indexes/notes.index"):
        assert answer("index", "info", name)["documents"] == 1
    (listed,) = answer("index", "list")
    assert (listed["name"], listed["index"]) == ("notes", "indexes/notes.index")
    assert [path.name for path in corpus.iterdir()] == ["a.jsonl"]


def test_an_index_of_an_earlier_version_is_brought_up_to_date_where_it_lies(
    definition: Path, answer: Answer
) -> None:
    answer("index", "build", str(definition))
    (definition.with_suffix("") / "more.jsonl").write_text('{"id": "new", "text": "x"}\n')
    definition.write_text(definition.read_text().replace("]", ', "notes/*.json*"]', 1))
    built = answer("index", "build", str(definition))
    assert built == {
        "index": str(definition.with_suffix("")),
        "documents": 4,
        "written": 1,
        "deleted": 0,
        "replaced": 0,
    }


def test_building_again_writes_what_has_changed_and_deletes_what_is_gone(
    definition: Path, answer: Answer
) -> None:
    answer("index", "build", str(definition))
    (definition.parent / "corpus" / "0.jsonl").unlink()
    (definition.parent / "corpus" / "1.jsonl").write_text('{"id": "d1", "text": "changed"}\n')
    built = answer("index", "build", str(definition))
    assert (built["documents"], built["written"], built["deleted"]) == (2, 1, 1)


def test_a_definition_that_says_something_else_than_the_index_changes_nothing(
    definition: Path, run: Run, answer: Answer
) -> None:
    answer("index", "build", str(definition))
    definition.write_text(definition.read_text() + 'analyzer = "plain"\n')
    result = run("index", "build", str(definition))
    assert isinstance(result.exception, IndexMismatchError)
    assert "analyzer" in str(result.exception)


@pytest.mark.parametrize("analyzer", ["klingon", "tlh"])
def test_create_names_the_analyzers_if_there_is_no_such_one(
    folder: Path, run: Run, analyzer: str
) -> None:
    result = run("index", "create", "notes", "--no-encoder", "--analyzer", analyzer)
    assert isinstance(result.exception, InvalidInputError)
    assert "german" in str(result.exception)
    assert not Path("indexes/notes").exists()


def test_prompts_of_a_definition_are_those_of_the_index(
    definition: Path, run: Run, answer: Answer, tiny_encoder: Path
) -> None:
    written = definition.read_text().replace("encoder = false", f'encoder = "{tiny_encoder}"')
    prompts = 'query_prompt = "query: "\ndocument_prompt = "passage: "\ntruncate_dim = 8\n'
    definition.write_text(written + prompts)
    answer("index", "build", str(definition))
    assert answer("index", "build", str(definition))["written"] == 0
    definition.write_text(written + prompts.replace("passage: ", "text: "))
    result = run("index", "build", str(definition))
    assert isinstance(result.exception, IndexMismatchError)
    assert "document_prompt = 'passage: '" in str(result.exception)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('files = ["corpus/*.jsonl"]\nanalyser = "plain"', "did you mean 'analyzer'"),
        ('files = ["nothing/*.jsonl"]', "there is no such file"),
        ('files = ["corpus"]', "is a folder"),
        ('files = ["other/manifest.json"]', "only files of an index"),
        ('source = "python-docs"\nfiles = ["corpus/*.jsonl"]', "alone"),
        ("encoder = false", "files"),
        ('files = ["corpus/*.jsonl"]\n[bm25]\nk1 = 2.0', "bm25s"),
        ('files = ["corpus/*.jsonl"]\nencoder = false\nquery_prompt = "q: "', "needs an encoder"),
        ('files = ["corpus/*.jsonl"]\nvector_dtype = "int4"', "int4"),
        ('files = ["corpus/*.jsonl"]\n[passages]\ntoken = 3', "did you mean 'tokens'"),
    ],
)
def test_a_definition_that_cannot_be_used_says_why(
    definition: Path, run: Run, content: str, reason: str
) -> None:
    Index.create(definition.parent / "other", encoder=None).close()
    definition.write_text(content)
    result = run("index", "build", str(definition))
    assert isinstance(result.exception, InvalidInputError)
    assert reason in str(result.exception)
    assert not definition.with_suffix("").exists()


def test_passages_of_a_definition_that_names_no_length_stay_the_same(
    definition: Path, answer: Answer
) -> None:
    definition.write_text(definition.read_text() + "[passages]\noverlap = 32\n")
    answer("index", "build", str(definition))
    assert answer("index", "build", str(definition))["written"] == 0


def documents_file(folder: Path, count: int) -> Path:
    path = folder / "many.jsonl"
    lines = (json.dumps({"id": str(i), "text": f"number {i}"}) for i in range(count))
    path.write_text("\n".join(lines))
    return path


TALKATIVE = """
from rerank_search.cli import output
output.A_LINE_EVERY = 0.001
from rerank_search.cli.main import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", ["add", "build", "rebuild", "verify"])
def test_long_work_in_a_pipe_says_how_far_it_is(folder: Path, notes: Path, command: str) -> None:
    documents = documents_file(folder, 3000)
    (folder / "many.toml").write_text(f'files = ["{documents.name}"]\nencoder = false\n')
    arguments, said = {
        "add": (("notes", str(documents)), r"adding to notes: [\d,]+ of 3,000, "),
        "build": (("many.toml",), r"indexing many: [\d,]+ of 3,000, "),
        "rebuild": (("notes",), r"rebuilding notes: [\d,]+ of 3"),
        "verify": (("notes",), r"verifying: \d+ s"),
    }[command]
    done = subprocess.run(
        [sys.executable, "-c", TALKATIVE, "index", command, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(said, done.stderr), done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_documents_of_a_pipe_with_a_name_are_added(folder: Path, notes: Path, answer: Answer):
    pipe = folder / "pipe.jsonl"
    os.mkfifo(pipe)
    writing = threading.Thread(target=pipe.write_text, args=('{"id": "piped", "text": "a"}\n',))
    writing.start()
    assert answer("index", "add", "notes", str(pipe))["written"] == 1
    writing.join()


def test_documents_are_shown_by_pages(notes: Path, answer: Answer, run: Run) -> None:
    page = answer("index", "documents", "notes", "--limit", "2")
    assert [each["id"] for each in page["documents"]] == ["join", "shell"]
    assert page["documents"][0]["metadata"] == {"module": "os", "year": 2020}
    rest = answer("index", "documents", "notes", "--after", page["next"])
    assert ([each["id"] for each in rest["documents"]], rest["next"]) == (["split"], None)
    shown = run("index", "documents", "notes", "--filter", "module=os", "--limit", "1")
    assert shown.stdout == "join  Paths  join two paths\n"
    assert "--after join" in shown.stderr
    misspelled = run("index", "documents", "notes", "--filter", "modul=os")
    assert (misspelled.stdout, "'modul'" in misspelled.stderr) == ("", True)


def test_an_index_is_dropped_if_that_is_confirmed(notes: Path, called: Called) -> None:
    refused = called("index", "drop", "notes")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    assert notes.is_dir()
    done = called("index", "drop", "notes", "--yes")
    assert (done.returncode, done.stdout) == (0, "dropped indexes/notes\n")
    assert not notes.exists()
    assert called("index", "drop", "notes", "--yes").returncode == 1


@pytest.mark.parametrize(("typed", "status", "left"), [("n\n", 1, True), ("y\n", 0, False)])
def test_on_a_terminal_dropping_asks(
    notes: Path,
    called: Called,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    status: int,
    left: bool,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    done = called("index", "drop", "notes")
    assert "with 3 documents" in done.stderr
    assert (done.returncode, notes.exists()) == (status, left)


def test_an_index_of_own_vectors_is_made_filled_and_searched(
    folder: Path, answer: Answer, run: Run
) -> None:
    lines = [
        {"id": "a", "text": "red bird", "embedding": [1, 0]},
        {"id": "b", "text": "blue sea", "embedding": [0.6, 0.8]},
    ]
    Path("docs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    answer("index", "create", "own", "--dimension", "2")
    added = answer("index", "add", "own", "docs.jsonl", "--vectors", "embedding")
    assert added["written"] == 2
    Path("query.json").write_text("[0, 1]")
    asked = ("search", "own", "bird", "--first-stage", "dense", "--no-rerank")
    found = answer(*asked, "--query-vector", "query.json")
    assert [hit["id"] for hit in found["hits"]] == ["b", "a"]
    assert "has no vector" in str(run(*asked).exception)
    for content, message in (("{", "is not JSON"), ("[1]", "has 1 numbers"), ("5", "is 5")):
        Path("query.json").write_text(content)
        assert message in str(run(*asked, "--query-vector", "query.json").exception)
    assert "cannot be read" in str(run(*asked, "--query-vector", "gone.json").exception)
    assert "has no vector" in str(run("index", "add", "own", "docs.jsonl").exception)
    excluding = run("index", "create", "more", "--dimension", "2", "--encoder", "x")
    assert excluding.exit_code == 2


def test_a_definition_names_the_key_of_vectors(folder: Path, answer: Answer, run: Run) -> None:
    Path("docs.jsonl").write_text('{"id": "a", "text": "red", "embedding": [1, 0]}')
    text = 'files = ["docs.jsonl"]\nencoder = false\ndimension = 2\nvectors = "embedding"\n'
    Path("own.toml").write_text(text)
    assert answer("index", "build", "own.toml")["written"] == 1
    assert answer("index", "build", "own.toml")["written"] == 0
    Path("own.toml").write_text(text.replace("dimension = 2", "dimension = 3"))
    assert isinstance(run("index", "build", "own.toml").exception, IndexMismatchError)
    Path("own.toml").write_text(text.replace("encoder = false\n", ""))
    assert "encoder = false" in str(run("index", "build", "own.toml").exception)
