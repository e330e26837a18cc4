"""The usage block of each model card runs if only the import is changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank_search.models.registry import DEFAULT_RERANKER, resolve_reranker

CARDS = sorted((Path(__file__).parents[3] / "shared" / "seeds").glob("*.txt"))
IMPORT = "from sentence_transformers import CrossEncoder"
STATEMENT = r"(?:(?:model|pairs|scores|ranks) = |print\()"


def usage_block(card: str) -> str:
    """The card's code, without comments if the card has lost its line breaks."""
    start = card.index(IMPORT)
    code = card[start : card.index("```", start)]
    if "\n" in code.strip():
        return code
    without_comments = re.sub(rf"# .*?(?={STATEMENT}|$)", "", code)
    return re.sub(rf" (?={STATEMENT})", "\n", without_comments)


def run(code: str, model: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(re.sub(r'CrossEncoder\("[^"]*"\)', f"CrossEncoder({model!r})", code), names)
    return names


@pytest.mark.skipif(not CARDS, reason="the model cards (../shared/seeds) are not there")
@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.stem[:3])
def test_the_usage_block_gives_what_sentence_transformers_gives(card: Path) -> None:
    code = usage_block(card.read_text(encoding="utf-8"))
    directory = resolve_reranker(DEFAULT_RERANKER)
    ours = run(code.replace(IMPORT, "from rerank_search import CrossEncoder"), DEFAULT_RERANKER)
    theirs = run(code, directory)
    np.testing.assert_allclose(ours["scores"], theirs["scores"], atol=1e-4)
    assert ours["scores"].dtype == theirs["scores"].dtype
    assert [entry["corpus_id"] for entry in ours["ranks"]] == [
        entry["corpus_id"] for entry in theirs["ranks"]
    ]
