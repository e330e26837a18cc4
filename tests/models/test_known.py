from __future__ import annotations

import json
import math
import re
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rerank_search.models.known import (
    BUNDLED_FACTS,
    KNOWN_ENCODERS,
    KNOWN_RERANKERS,
    LOOKED_UP,
    KnownModel,
    only_english,
)
from rerank_search.models.registry import (
    BUNDLED_RERANKERS,
    DEFAULT_ENCODER,
    bundled_reranker,
    installed_encoder,
)
from rerank_search.models.saved import window_of

ROOT = Path(__file__).parents[2]
KNOWN = (*KNOWN_RERANKERS, *KNOWN_ENCODERS)
EVERY = (*BUNDLED_FACTS, *KNOWN)

HOSTS = {
    "Alibaba-NLP": {"huggingface.co/Alibaba-NLP"},
    "BAAI": {"huggingface.co/BAAI", "github.com/FlagOpen"},
    "Qwen": {"qwen.ai/blog"},
    "Snowflake": {"github.com/Snowflake-Labs"},
    "cross-encoder": {"huggingface.co/blog", "huggingface.co/cross-encoder", "www.sbert.net/docs"},
    "google": {"ai.google.dev/gemma", "huggingface.co/google"},
    "intfloat": {"github.com/microsoft"},
    "minishlab": {"github.com/MinishLab", "huggingface.co/minishlab"},
    "mixedbread-ai": {"www.mixedbread.com/docs"},
    "sentence-transformers": {"huggingface.co/sentence-transformers"},
}
"""The beginnings of each maker's own pages."""


@pytest.mark.parametrize("model", KNOWN, ids=lambda model: model.name)
def test_a_known_model_has_the_name_of_the_hub_and_pages_of_its_maker(model: KnownModel) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", model.name)
    assert model.pages
    for page in model.pages:
        parts = urlsplit(page)
        assert parts.scheme == "https"
        own = f"{parts.netloc}/{parts.path.split('/')[1]}"
        assert own in HOSTS[model.name.partition("/")[0]]


@pytest.mark.parametrize("model", EVERY, ids=lambda model: model.name)
def test_the_facts_of_a_model_have_the_form_that_the_command_shows(model: KnownModel) -> None:
    assert model.licence in ("Apache-2.0", "MIT", "Gemma")
    assert model.languages in ("English", "multilingual", "100+", None)
    assert model.parameters is None or 1_000_000 <= model.parameters < 1_000_000_000
    assert model.window is None or 128 <= model.window <= 32_768
    if model.figure is not None:
        assert len(model.figure) <= 45  # with its indent and footnote it fits into its column
        assert re.search(r"\d", model.figure)


def test_each_model_is_known_once_and_by_its_kind() -> None:
    names = [model.name for model in EVERY]
    assert len(set(names)) == len(names)
    assert {model.kind for model in (*BUNDLED_FACTS, *KNOWN_RERANKERS)} == {"reranker"}
    assert {model.kind for model in KNOWN_ENCODERS} == {"encoder"}


def test_the_facts_were_looked_up_on_a_day_that_has_been() -> None:
    assert date(2026, 11, 1) <= LOOKED_UP <= date.today()


def parameters(folder: Path) -> int:
    """The number of weights in a folder, by the header of their file."""
    with (folder / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(each["shape"]) for name, each in header.items() if name != "__metadata__")


def test_the_facts_of_the_bundled_rerankers_are_those_of_their_files() -> None:
    assert [model.name for model in BUNDLED_FACTS] == list(BUNDLED_RERANKERS)
    for model in BUNDLED_FACTS:
        folder = bundled_reranker(model.name)
        assert model.window == window_of(folder)
        assert model.parameters == round(parameters(folder), -5)


def test_the_facts_of_the_default_encoder_are_those_of_its_wheel() -> None:
    folder = installed_encoder()
    if folder is None:
        pytest.skip("needs the extra 'offline'")
    model = next(model for model in KNOWN_ENCODERS if model.name == DEFAULT_ENCODER)
    assert model.window == window_of(folder)
    assert model.parameters == round(parameters(folder), -5)


@pytest.mark.parametrize(
    ("model", "depth"), [(BUNDLED_FACTS[0], 100), (BUNDLED_FACTS[1], 20)], ids=BUNDLED_RERANKERS
)
def test_the_figures_of_the_bundled_rerankers_are_those_of_the_results(
    model: KnownModel, depth: int
) -> None:
    (page,) = model.pages
    report = json.loads((ROOT / page).with_suffix(".json").read_text(encoding="utf-8"))
    gains = [
        system["protocols"]["retrieved"]["nDCG@10"] - system["protocols"]["first_stage"]["nDCG@10"]
        for system in report["systems"]
        if system["name"] == f"bm25@{depth}+{model.name}"
    ]
    assert len(gains) >= 7
    least, most = (f"{gain:+.3f}".replace("0.", ".") for gain in (min(gains), max(gains)))
    assert model.figure == f"nDCG@10 {least} to {most} over BM25"


@pytest.mark.parametrize("name", [*BUNDLED_RERANKERS, DEFAULT_ENCODER, "all-MiniLM-L6-v2"])
def test_the_default_models_are_made_for_english(name: str) -> None:
    assert only_english(name)


@pytest.mark.parametrize(
    "name", ["", "intfloat/multilingual-e5-small", "v2", "./my/model", "http://h/rerank"]
)
def test_other_models_are_not_known_to_be(name: str) -> None:
    assert not only_english(name)
