import json
from pathlib import Path

import pytest

from rerank_search import Encoder, InvalidInputError, RemoteEncoder
from rerank_search.models.prompts import (
    Prompts,
    checked_prompt,
    chosen,
    tells_tasks_apart,
    without_use,
)


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ({}, Prompts()),
        ({"query": "q: ", "document": "d: "}, Prompts(query="q: ", document="d: ")),
        ({"query": "q: ", "document": ""}, Prompts(query="q: ")),
        ({"query": "q: ", "passage": "p: "}, Prompts(query="q: ", document="p: ")),
        ({"query": "", "document": "", "corpus": "c: "}, Prompts(document="c: ")),
        ({"document": "d: ", "passage": "p: "}, Prompts(document="d: ")),
        ({"query": None, "document": None}, Prompts()),
        ({"search_query": "q: ", "search_document": "d: "}, Prompts()),
    ],
)
def test_the_prompts_of_queries_and_documents_are_chosen_by_name(saved, expected) -> None:
    assert chosen(saved) == expected


@pytest.mark.parametrize(
    ("saved", "unused"),
    [
        ({"query": "", "document": "", "search_query": "q: "}, ["search_query"]),
        ({"query": "q: ", "clustering": "c: "}, []),
        ({"query": "", "document": ""}, []),
    ],
)
def test_prompts_are_without_use_where_none_is_for_queries_or_documents(saved, unused) -> None:
    assert without_use(saved) == unused


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("config_sentence_transformers.json", {"prompts": {"query": "q: "}}, True),
        ("config_sentence_transformers.json", {"prompts": {"query": "", "document": ""}}, False),
        ("config_sentence_transformers.json", {"__version__": {}}, False),
        ("config_sentence_transformers.json", [], False),
        ("modules.json", [{"type": "sentence_transformers.base.modules.router.Router"}], True),
        ("modules.json", [{"type": "sentence_transformers.models.Asym"}], True),
        ("modules.json", [{"type": "sentence_transformers.models.Transformer"}], False),
        ("modules.json", {}, False),
    ],
)
def test_a_saved_model_tells_queries_from_documents_by_prompts_or_modules(
    tmp_path: Path, file: str, content: object, expected: bool
) -> None:
    (tmp_path / file).write_text(json.dumps(content))
    assert tells_tasks_apart(tmp_path) is expected


def test_a_damaged_file_of_settings_has_no_prompts(tmp_path: Path) -> None:
    (tmp_path / "config_sentence_transformers.json").write_bytes(b"\xff{")
    assert not tells_tasks_apart(tmp_path)


@pytest.mark.parametrize("name", ["query_prompt", "document_prompt"])
@pytest.mark.parametrize(
    ("given", "message"), [("\ud800: ", "a lone surrogate at character 0"), (5, "is not a string")]
)
def test_a_prompt_by_hand_that_cannot_be_stored_is_refused(name: str, given, message: str) -> None:
    assert checked_prompt(name, "é: ") == "é: "
    for made in (Encoder, RemoteEncoder):
        with pytest.raises(InvalidInputError, match=f"{name}.*{message}"):
            made("http://h/v1/embeddings", **{name: given})
