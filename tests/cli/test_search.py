from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from rerank_search.cli.search import search
from rerank_search.options import OPTIONS
from rerank_search.types import Document, Hit, SearchResponse

Run = Callable[..., Result]
Answer = Callable[..., Any]


def ids(response: Any) -> list[str]:
    return [hit["id"] for hit in response["hits"]]


def names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


def test_the_command_line_has_every_search_option() -> None:
    arguments = inspect.signature(search).parameters.keys()
    assert OPTIONS.keys() - {"rerank"} <= arguments  # which is --no-rerank
    assert "no_rerank" in arguments


def test_the_first_stage_alone_needs_no_model(notes: Path, answer: Answer) -> None:
    response = answer("search", "notes", "join two paths", "--no-rerank")
    assert ids(response)[0] == "join"
    assert response["first_stage"] == "bm25"
    assert response["reranked"] is False


def test_json_has_the_field_names_of_the_dataclasses(notes: Path, answer: Answer) -> None:
    response = answer("search", "notes", "join two paths", "--no-rerank")
    assert set(response) == names(SearchResponse)
    (hit, *_) = response["hits"]
    assert set(hit) == names(Hit)
    assert set(hit["document"]) == names(Document)
    assert hit["document"]["metadata"] == {"module": "os", "year": 2020}
    assert hit["stage_scores"] == {"bm25": hit["score"]}


def test_filters_are_applied(notes: Path, answer: Answer) -> None:
    arguments = ("search", "notes", "two paths", "--no-rerank", "--filter", "year>2020")
    assert ids(answer(*arguments)) == ["split"]
    assert ids(answer(*arguments, "--filter", "module=subprocess")) == []
    as_json = ("search", "notes", "two paths", "--no-rerank", "--filter", '{"year": {"$lt": 2021}}')
    assert ids(answer(*as_json)) == ["join"]


def test_an_unknown_filter_operator_is_an_error(notes: Path, run: Run) -> None:
    result = run("search", "notes", "x", "--no-rerank", "--filter", '{"year": {"$near": 1}}')
    assert "$near" in str(result.exception)


def test_query_syntax_is_plain_words(notes: Path, answer: Answer) -> None:
    assert ids(answer("search", "notes", 'title:("join AND', "--no-rerank"))[0] == "join"


def test_a_query_that_finds_nothing_says_so_and_is_no_failure(notes: Path, run: Run) -> None:
    for query in ("zebra", "", "   "):
        result = run("search", "notes", query, "--no-rerank")
        assert (result.exit_code, result.stdout) == (0, "nothing found\n")


def test_a_stage_that_the_index_has_not_is_named(notes: Path, run: Run) -> None:
    result = run("search", "notes", "x", "--no-rerank", "--first-stage", "dense")
    assert "no first stage 'dense'" in str(result.exception)


@pytest.mark.parametrize("command", [("search", "notes", "x"), ("calibrate", "tiny", "notes")])
def test_a_first_stage_that_nothing_installs_is_wrong_usage(notes, run, command) -> None:
    result = run(*command, "--first-stage", "bm26")
    assert result.exit_code == 2
    assert "there is no first stage 'bm26': use one of bm25, dense, hybrid" in result.stderr


def test_people_see_rank_id_title_and_text(notes: Path, run: Run) -> None:
    output = run("search", "notes", "join two paths", "--no-rerank", "--top-k", "1").stdout
    assert "\n1 candidate by " in output
    assert output.split()[:2] == ["1", "join"]
    assert "Paths" in output
    assert "split" not in output


def test_two_stages_by_default(both: str, answer: Answer, tiny_reranker: Path) -> None:
    response = answer("search", both, "join two paths", "--reranker", str(tiny_reranker))
    assert response["first_stage"] == "hybrid"
    assert response["reranked"] is True
    assert response["reranked_count"] == response["candidates"] == 3
    for hit in response["hits"]:
        assert {"hybrid", "rerank"} <= set(hit["stage_scores"])


@pytest.mark.parametrize("stage", ["bm25", "dense", "hybrid"])
def test_each_first_stage_can_be_chosen(both: str, answer: Answer, stage: str) -> None:
    response = answer("search", both, "join two paths", "--no-rerank", "--first-stage", stage)
    assert response["first_stage"] == stage
    assert stage in response["hits"][0]["stage_scores"]


def test_the_table_shows_what_the_second_stage_moved(
    both: str, run: Run, tiny_reranker: Path
) -> None:
    arguments = ("search", both, "join two paths", "--reranker", str(tiny_reranker))
    first = json.loads(run("search", both, "join two paths", "--no-rerank", "--json").stdout)
    final = json.loads(run(*arguments, "--json").stdout)
    rows = [line.split() for line in run(*arguments, "--top-k", "2").stdout.splitlines()]
    shown = {row[2]: row[1] for row in rows if row[:1] and row[0].isdigit() and len(row) == 4}
    assert list(shown) == ids(final)[:2]
    for rank, id in enumerate(shown):
        rise = ids(first).index(id) - rank
        assert shown[id] == ("=" if rise == 0 else f"↑{rise}" if rise > 0 else f"↓{-rise}")


@pytest.mark.slow
def test_models_load_without_a_word(both: str, program: Any, tiny_reranker: Path) -> None:
    done = program("search", both, "join two paths", "--reranker", str(tiny_reranker), "--json")
    assert done.returncode == 0
    # On a busy machine the command may print what it waits for.
    said = [line for line in done.stderr.splitlines() if not line.startswith("loading the models")]
    assert said == []
    assert json.loads(done.stdout)["reranked"] is True


@pytest.mark.slow
def test_an_unknown_reranker_is_an_error_without_network(both: str, called: Any) -> None:
    arguments = ("search", both, "x", "--reranker", "nobody/no-such-model")
    done = called(*arguments, RERANK_SEARCH_OFFLINE="1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "nobody/no-such-model" in done.stderr


def test_a_key_that_no_document_has_is_a_warning_on_the_standard_error(run, notes, answer):
    result = run("search", "notes", "paths", "--no-rerank", "--filter", "modul=os")
    assert result.exit_code == 0
    assert "nothing found" in result.stdout
    assert "warning: no document has the metadata key 'modul'" in result.stderr
    assert "there are 'module'" in result.stderr
    found = answer("search", "notes", "paths", "--no-rerank", "--filter", 'year="2020"')
    assert found["hits"] == []
    assert ["'year' with a string" in warning for warning in found["warnings"]] == [True]


def test_a_filter_over_keys_that_there_are_says_nothing(run, notes):
    result = run("search", "notes", "paths", "--no-rerank", "--filter", "module=none")
    assert "warning" not in result.stderr


def test_json_has_the_passage_alone_or_no_text_on_request(folder, run, answer):
    words = " ".join(f"word{i}." for i in range(2_000))
    (folder / "long.jsonl").write_text(json.dumps({"id": "long", "text": words, "title": "Long"}))
    assert run("index", "create", "long", "--no-encoder").exit_code == 0
    assert run("index", "add", "long", str(folder / "long.jsonl")).exit_code == 0
    arguments = ("search", "long", "word1500", "--no-rerank")
    [full] = answer(*arguments)["hits"]
    [passage] = answer(*arguments, "--passages")["hits"]
    [bare] = answer(*arguments, "--no-text")["hits"]
    assert passage["document"].pop("text") == full["document"].pop("text")[slice(*full["span"])]
    assert passage == full == bare


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--json", "--passages", "--no-text"], "exclude"), (["--passages"], "add it")],
)
def test_what_is_printed_of_texts_is_asked_for_once_and_with_json(run, notes, options, named):
    result = run("search", "notes", "paths", "--no-rerank", *options)
    assert result.exit_code == 2
    assert named in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--candidates", "100"],
        ["--reranker", "x"],
        ["--no-fusion"],
        ["--budget-ms", "5"],
        ["--min-relevance", "0.5"],
        ["--instruction", "find claims"],
    ],
)
def test_options_of_reranking_are_refused_with_no_rerank(run, notes, options):
    result = run("search", "notes", "paths", "--no-rerank", *options)
    assert result.exit_code == 2
    assert f"--no-rerank and {options[0]} exclude each other" in result.stderr


def test_an_instruction_is_for_rerankers_that_take_one(
    notes: Path, answer: Answer, called: Any, tiny_reranker: Path, causal_reranker: Path
) -> None:
    def best(*options: str) -> float:
        command = ("search", "notes", "join two paths", "--reranker", str(causal_reranker))
        return float(answer(*command, *options)["hits"][0]["score"])

    assert best("--instruction", "find claims") != best()
    refused = ("search", "notes", "paths", "--reranker", str(tiny_reranker))
    result = called(*refused, "--instruction", "find claims")
    assert result.returncode == 2
    assert "takes no instruction" in result.stderr


def test_documents_cannot_send_control_sequences_to_the_terminal(
    folder: Path, run: Run, answer: Answer
) -> None:
    document = {
        "id": "a\x1b[2J",
        "title": "\x1b[31mred",
        "text": "join \x1b]0;title\x07\x9b1m paths",
    }
    (folder / "odd.jsonl").write_text(json.dumps(document))
    assert run("index", "create", "odd", "--no-encoder").exit_code == 0
    assert run("index", "add", "odd", "odd.jsonl").exit_code == 0
    shown = run("search", "odd", "join", "--no-rerank").stdout
    assert "join ]0;title 1m paths" in shown
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)
    [hit] = answer("search", "odd", "join", "--no-rerank")["hits"]
    assert hit["id"] == document["id"]
