from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sentence_transformers import CrossEncoder

from rerank_search.judged.findings import Finding
from rerank_search.training.data.groups import Group, TrainingSet
from rerank_search.training.publish.card import write_card
from rerank_search.training.publish.card_facts import CardFacts, Result
from rerank_search.training.publish.licences import may_be_quoted
from rerank_search.training.recipe.measuring import Evaluation, EvaluationSet
from rerank_search.training.recipe.recipe import Recipe
from rerank_search.training.recipe.sources import (
    FalseNegatives,
    Negatives,
    SoftLabels,
    Source,
    Teacher,
)

GROUPS = [
    Group("which river is red", ["the red river by the sea", "old cheese"], [1.0, 0.0]),
    Group("which tower is old", ["the old tower", "fast snow", "a pear"], [1.0, 0.0, 0.0]),
]
TRAINING_TEXTS = [text for group in GROUPS for text in [group.query, *group.documents]]

WriteCard = Callable[..., str]


@pytest.fixture
def model(tiny_reranker: Path) -> CrossEncoder:
    return CrossEncoder(str(tiny_reranker), device="cpu")


@pytest.fixture
def recipe(tiny_reranker: Path, tmp_path: Path) -> Recipe:
    return Recipe(
        name="rivers",
        base=str(tiny_reranker),
        output=tmp_path / "model",
        sources=[Source(collection=tmp_path / "water")],
    )


@pytest.fixture
def card(recipe: Recipe, model: CrossEncoder, tmp_path: Path) -> WriteCard:
    """Writes the card of ``model`` and returns it; options are fields of the facts."""

    def write(changes: dict[str, Any] | None = None, **options: Any) -> str:
        facts: dict[str, Any] = {
            "recipe": recipe.model_copy(update=changes or {}),
            "sets": [TrainingSet("water", "train", "CC BY-SA 4.0", GROUPS)],
            "passes": 2.0,
            "seconds": 90.0,
            "precision": "float32",
            "hardware": "2 CPU cores",
        }
        write_card(tmp_path, model, CardFacts(**(facts | options)))
        return (tmp_path / "README.md").read_text(encoding="utf-8")

    return write


def metadata(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


def section(card: str, title: str) -> str:
    return card.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_sections_stand_between_usage_and_training_details(card: WriteCard) -> None:
    titles = re.findall(r"^## (.*)$", card(calibration="Fitted on water (dev)."), re.MULTILINE)
    expected = ["Usage", "Results", "Run", "Data", "Calibration", "Limits", "Training Details"]
    assert [title for title in titles if title in expected] == expected


def test_results_have_both_protocols_with_intervals_and_what_they_started_from(
    card: WriteCard,
) -> None:
    rows = [
        Result("water-dev", "retrieved", "nDCG@10", 0.51234, 0.48, 0.54, 0.4, 0.45),
        Result("water-dev", "all_positives", "nDCG@10", 0.6),
    ]
    text = section(card(results=rows, confidence=0.9), "Results")
    assert "- `retrieved`: the candidates of a first stage are reranked" in text
    assert "- `all positives`: " in text
    assert "| this model | 90% interval |" in text
    figures = "0.4000 | 0.4500 | 0.5123 | 0.4800 to 0.5400"
    assert f"| water-dev | retrieved | nDCG@10 | {figures} |" in text
    assert "| water-dev | all positives | nDCG@10 | – | – | 0.6000 | – |" in text


def test_the_metadata_are_those_of_a_reranker_with_a_model_index(card: WriteCard) -> None:
    rows = [
        Result("water-dev", "retrieved", "nDCG@10", 0.5),
        Result("water-dev", "sbert", "map", 0.6),
        Result("phones", "pairs", "average_precision", 0.9),
    ]
    found = metadata(card(results=rows))
    assert found["library_name"] == "sentence-transformers"
    assert found["pipeline_tag"] == "text-ranking"
    assert {"sentence-transformers", "cross-encoder", "reranker"} <= set(found["tags"])
    assert found["metrics"] == ["ndcg@10", "map", "average_precision"]
    of_search = {
        "task": {"type": "cross-encoder-reranking", "name": "Cross Encoder Reranking"},
        "dataset": {"name": "water-dev", "type": "water_dev"},
        "metrics": [
            {"type": "ndcg@10", "value": 0.5, "name": "nDCG@10 (retrieved)"},
            {"type": "map", "value": 0.6, "name": "map"},
        ],
    }
    of_pairs = {
        "task": {
            "type": "cross-encoder-binary-classification",
            "name": "Cross Encoder Binary Classification",
        },
        "dataset": {"name": "phones", "type": "phones"},
        "metrics": [{"type": "average_precision", "value": 0.9, "name": "average precision"}],
    }
    assert found["model-index"] == [{"name": "rivers", "results": [of_search, of_pairs]}]


def test_a_model_that_was_not_measured_says_so(card: WriteCard) -> None:
    text = card()
    assert "so the model was not measured" in section(text, "Results")
    assert "model-index" not in metadata(text)


def test_data_are_counted_by_source_with_their_licence_and_what_was_found(
    card: WriteCard, tmp_path: Path
) -> None:
    finding = Finding("repeated pairs", 3, f"{tmp_path}/pairs.csv, line 7: old cheese")
    sets = [
        TrainingSet("water", "train", "MIT", GROUPS, [finding], made_up=1),
        TrainingSet("a|b", "dev", "", GROUPS[:1]),
    ]
    text = section(card(sets=sets, findings=[Finding("contradictions", 1, "line 2")]), "Data")
    assert "| water | train | MIT | 2 | 1 | 5 |" in text
    assert r"| a\|b | dev | not stated | 1 | 0 | 2 |" in text
    assert "- water: 3 repeated pairs\n- all data: 1 contradictions" in text
    assert "line 7" not in text


def test_data_say_where_negatives_and_labels_come_from(card: WriteCard, tmp_path: Path) -> None:
    negatives = Negatives(
        encoder=str(tmp_path / "my-encoder"),
        margin=0.5,
        false_negatives=FalseNegatives(reranker="cross-encoder/judge"),
    )
    labels = SoftLabels(rerankers=[Teacher(reranker="cross-encoder/teacher", weight=0.5)])
    text = section(card({"negatives": negatives, "soft_labels": labels}), "Data")
    assert (
        "Mined negatives: 7 for each relevant document, drawn by seed from ranks 1 to 50 "
        "of bm25 and dense (encoder `my-encoder`), 1 of them at random from the whole collection. "
        "They score at least 0.5 below the query's best positive. Those that `cross-encoder/judge` "
        "considers relevant are left out. At most 1 relevant of a query's documents are used."
    ) in text
    assert (
        "a teacher's logits: 20 times the cosine of `my-encoder`, plus 4 for a relevant document, "
        "plus 0.5 times the logit of `cross-encoder/teacher`."
    ) in text


def test_the_run_says_how_much_of_the_data_it_saw_on_what_and_shows_its_plots(
    card: WriteCard,
) -> None:
    text = section(card(seconds=7200.0, plots=["loss.svg"]), "Run")
    assert "2.00 passes over the data, in 2.0 hours." in text
    assert "Activations in float32, weights stored in float32; 2 CPU cores." in text
    assert "![loss](loss.svg)" in text


def test_limits_name_what_makes_the_figures_look_better_than_they_are(
    card: WriteCard, tmp_path: Path
) -> None:
    measured = EvaluationSet(name="dev", sources=[Source(collection=tmp_path / "water")])
    text = section(
        card(
            {"evaluation": Evaluation(sets=[measured]), "leaks": "allow"},
            sets=[TrainingSet("water", "train", "", GROUPS, made_up=1)],
            results=[Result("dev", "retrieved", "nDCG@10", 0.5)],
            passes=0.59,
        ),
        "Limits",
    )
    assert "The run used 59% of the training data." in text
    assert "1 of 2 training queries are made up" in text
    assert "It was trained on other queries of water" in text
    assert "Evaluation data among the training data" in text
    assert "No licence is stated for water." in text


def test_a_base_model_of_a_hub_is_linked_and_a_local_one_is_named(
    card: WriteCard, tiny_reranker: Path
) -> None:
    text = card({"base": "cross-encoder/ms-marco-MiniLM-L6-v2"})
    assert metadata(text)["base_model"] == "cross-encoder/ms-marco-MiniLM-L6-v2"
    assert "(https://huggingface.co/cross-encoder/ms-marco-MiniLM-L6-v2)" in text
    for base in (str(tiny_reranker), "rerank-search-base"):
        text = card({"base": base})
        assert "base_model" not in metadata(text)
        assert f"Fine-tuned from `{Path(base).name}`" in text


OPEN = ["CC0", "CC0 1.0 Universal", "CC BY 4.0", "cc-by-sa-4.0", "CC BY-NC 4.0", "MIT"]
OPEN += ["MIT License", "Apache-2.0", "Apache License 2.0", "BSD", "BSD-3-Clause", "public domain"]
CLOSED = ["", "unknown", "research only", "ODC-By", "GPL-3.0", "not MIT", "admitted"]
CLOSED += ["MIT for the code alone", "CC BY 4.0 and others", "proprietary"]


@pytest.mark.parametrize("licence", OPEN)
def test_texts_under_an_open_licence_may_be_quoted(licence: str) -> None:
    assert may_be_quoted(licence)


@pytest.mark.parametrize("licence", CLOSED)
def test_texts_under_another_licence_or_none_may_not_be_quoted(licence: str) -> None:
    assert not may_be_quoted(licence)


def test_the_usage_shows_training_texts_where_that_is_allowed(card: WriteCard) -> None:
    text = card()
    assert "['which river is red', 'the red river by the sea']" in section(text, "Usage")
    assert "Samples are left out" not in text


def test_one_source_that_may_not_be_quoted_keeps_all_texts_out(card: WriteCard) -> None:
    sets = [TrainingSet("water", "train", "MIT", GROUPS), TrainingSet("news", "train", "", GROUPS)]
    text = card(sets=sets)
    assert not [quoted for quoted in TRAINING_TEXTS if quoted in text]
    assert (
        "Samples are left out, because the licence of news is not known to allow repeating them."
        in section(text, "Data")
    )


@pytest.fixture
def trained(model: CrossEncoder, tmp_path: Path) -> CrossEncoder:
    """The model after two steps of sentence-transformers' trainer, with an evaluation set."""
    datasets = pytest.importorskip("datasets", reason="training needs the extra train")
    pytest.importorskip("accelerate", reason="training needs the extra train")
    from sentence_transformers.cross_encoder import (
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    pairs = [(group.query, text) for group in GROUPS for text in group.documents]
    labels = [label for group in GROUPS for label in group.labels]
    rows = {"query": [q for q, _ in pairs], "document": [d for _, d in pairs], "label": labels}
    held_out = {"query": ["how long is winter"], "document": ["winter is short"], "label": [1.0]}
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(tmp_path / "checkpoints"),
        project=str(tmp_path / "board"),
        max_steps=2,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset={"water": datasets.Dataset.from_dict(rows)},
        eval_dataset={"held-out": datasets.Dataset.from_dict(held_out)},
        loss=BinaryCrossEntropyLoss(model),
    ).train()
    return model


def test_what_the_trainer_noted_is_in_the_card(trained: CrossEncoder, card: WriteCard) -> None:
    text = card()
    assert {"generated_from_trainer", "dataset_size:5", "loss:BinaryCrossEntropyLoss"} <= set(
        metadata(text)["tags"]
    )
    assert "* Size: 5 training samples" in text
    assert "- `max_steps`: 2" in text
    assert "### Training Logs" in text
    assert "<code>the red river by the sea</code>" in text
    # It would count until the card is written, not until the last step.
    assert "### Training Time" not in text


def test_the_card_of_a_run_has_no_path_of_this_machine(
    trained: CrossEncoder, card: WriteCard, tmp_path: Path, tiny_reranker: Path
) -> None:
    text = card()
    assert "- `project`: board" in text
    assert str(tmp_path) not in text
    assert str(tiny_reranker.parent) not in text


def test_texts_of_a_run_stay_out_where_they_may_not_be_quoted_and_those_held_out_always(
    trained: CrossEncoder, card: WriteCard
) -> None:
    assert "winter" not in card()
    text = card(sets=[TrainingSet("water", "train", "", GROUPS)])
    assert not [quoted for quoted in [*TRAINING_TEXTS, "winter"] if quoted in text]
    assert "* Size: 5 training samples" in text


def test_nothing_is_looked_up_on_a_network(
    trained: CrossEncoder, card: WriteCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def refuse(host: object, *_: object, **__: object) -> None:
        asked.append(host)
        raise OSError("no network in this test")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    card()
    card({"base": "cross-encoder/ms-marco-MiniLM-L6-v2"})
    assert asked == []
