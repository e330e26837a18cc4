from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from rerank_search.judged.findings import Finding
from rerank_search.training.data.description import Spread, as_text, describe, estimate
from rerank_search.training.data.groups import Group, TrainingSet
from rerank_search.training.recipe.losses import Loss

RIVER = Group("river", ["storm", "bread and cheese", ""], [1.0, 0.75, 0.25])
OVEN = Group("old oven", ["rain"], [0.0])
FINDING = Finding("pairs with a blank text", 1, "mine/train, line 3")
MINE = TrainingSet("mine", "train", "MIT", [RIVER, OVEN], [FINDING], made_up=1)


def test_a_set_is_described_in_figures() -> None:
    [described] = describe([MINE], Loss(name="bce"))
    assert (described.queries, described.made_up, described.pairs) == (2, 1, 4)
    assert described.positives == 2
    assert described.labels == Spread(0.0, 0.5, 1.0)
    assert described.query_characters == Spread(5.0, 6.5, 8.0)
    assert described.document_characters == Spread(0.0, 6.25, 16.0)
    assert (described.scored, described.tokens) == (4, None)


def test_logits_have_no_positives_and_lists_of_one_label_are_not_scored() -> None:
    soft = TrainingSet("soft", "train", "", [Group("q", ["a", "b"], [7.0, -3.0]), OVEN])
    [described] = describe([soft], Loss())
    assert described.positives is None
    assert described.scored == 2


def test_a_set_without_queries_can_be_described() -> None:
    [described] = describe([TrainingSet("none", "train", "", [])], Loss(), tokenizer=object())
    assert (described.pairs, described.labels, described.tokens) == (0, Spread(0, 0, 0), None)


def test_tokens_are_those_that_the_model_would_read(tiny_reranker: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_reranker)
    # Three special tokens each; the tokenizer's window (64) does not affect the counts.
    lengths = [1, 3, 96]
    group = Group("river", [" ".join(["rain"] * length) for length in lengths], [1.0, 0.0, 0.0])
    [described] = describe(
        [TrainingSet("mine", "train", "", [group])], Loss(), tokenizer=tokenizer, max_length=10
    )
    tokens = described.tokens
    assert tokens is not None
    assert (tokens.pairs, tokens.p50, tokens.p90, tokens.p99, tokens.most) == (3, 7, 100, 100, 100)
    assert tokens.cut == pytest.approx(1 / 3)
    assert tokens.mean_read == pytest.approx((5 + 7 + 10) / 3)


def test_of_many_pairs_some_are_measured_over_the_whole_set(tiny_reranker: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_reranker)
    groups = [Group("river", ["rain" if i < 2500 else "rain rain"], [1.0]) for i in range(5000)]
    [described] = describe(
        [TrainingSet("mine", "train", "", groups)], Loss(name="bce"), tokenizer=tokenizer
    )
    tokens = described.tokens
    assert tokens is not None
    assert 1000 < tokens.pairs <= 2000
    assert tokens.mean_read == pytest.approx(5.5, abs=0.01)


def test_the_estimate_is_tokens_times_passes_times_the_measured_speed(tiny_reranker: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_reranker)
    described = describe([MINE, MINE], Loss(name="bce"), tokenizer=tokenizer)
    # 5, 7, 4 and 6 tokens, in each of the sets.
    expected = estimate(described, 1.5, lambda: 0.25)
    assert (expected.tokens, expected.passes, expected.seconds) == (44, 1.5, 16.5)


@pytest.mark.parametrize(
    ("passes", "shown"), [(1, "about 42 s"), (10, "about 7 min"), (300, "about 3 h 30 min")]
)
def test_people_read_lines_and_programs_read_json(
    tiny_reranker: Path, passes: float, shown: str
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_reranker)
    described = describe([MINE, MINE], Loss(name="bce"), tokenizer=tokenizer, max_length=6)
    estimated = estimate(described, passes, lambda: 1.0)
    text = as_text(described, estimated)
    assert "mine/train (MIT)" in text
    assert "2 queries (1 made up), 4 pairs, 2 positive, 4 pairs scored a pass" in text
    assert "labels: 0 to 1, mean 0.5" in text
    assert "all up to 7; 25.0% are cut at 6" in text
    assert as_text(described) in text
    assert json.loads(json.dumps([asdict(each) for each in described]))[0]["scored"] == 4
    assert text.splitlines()[-1].startswith(shown)
