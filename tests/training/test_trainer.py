from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("bm25s", reason="training needs the extra bm25s")
pytest.importorskip("datasets", reason="training needs the extra train")

import torch
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder

from rerank_search.errors import InvalidInputError
from rerank_search.reranking.fusion import Fusion
from rerank_search.training.loss import ListwiseLoss
from rerank_search.training.trainer import train


def recipe(folder: Path, collection: Path, encoder: Path, **options: object) -> Path:
    """A recipe for the tiny encoder, in ``folder``; ``options`` are top-level keys."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in options.items()]
    path = folder / "recipe.toml"
    path.write_text(
        "\n".join(
            [
                'name = "tiny"',
                f"base = {json.dumps(str(encoder))}",
                'output = "model"',
                "max_length = 48",
                *lines,
                "[negatives]",
                f"encoder = {json.dumps(str(encoder))}",
                "depth = 6",
                "per_query = 4",
                "[arguments]",
                "per_device_train_batch_size = 8",
                "learning_rate = 2e-3",
                "disable_tqdm = true",
                "[[sources]]",
                f"collection = {json.dumps(str(collection))}",
                'licence = "made here"',
            ]
        ),
        encoding="utf-8",
    )
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))


def relevance(model: CrossEncoder) -> float:
    """Mean logit of texts that answer, less that of texts that don't."""
    nouns = ["river", "bridge", "sea", "harbour"]
    pairs = [(f"which {n}", f"the {n} is the {k}") for k in ("answer", "snow") for n in nouns]
    scores = model.predict(pairs, activation_fn=torch.nn.Identity())
    return float(scores[:4].mean() - scores[4:].mean())


@pytest.mark.parametrize("loss", ["listwise", "bce"])
def test_training_teaches_relevance(
    answers: Path, tiny_encoder: Path, tmp_path: Path, loss: str
) -> None:
    path = recipe(tmp_path, answers, tiny_encoder, loss=loss)
    directory = train(path, overrides={"arguments.num_train_epochs": "20"})
    assert directory == tmp_path / "model"
    assert relevance(CrossEncoder(str(directory))) > 0.5


def test_the_model_card_says_what_the_model_was_trained_on(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    card = (train(recipe(tmp_path, collection, tiny_encoder)) / "README.md").read_text()
    assert "| colours | train | 20 | 0 | made here |" in card
    assert '"learning_rate": 0.002' in card


def test_float16_weights_load_as_float32(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    directory = train(recipe(tmp_path, collection, tiny_encoder, weights="float16"))
    stored = load_file(directory / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    model = CrossEncoder(str(directory))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_an_interrupted_run_goes_on_to_the_same_model(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for folder in (whole, halves):
        folder.mkdir()
    saving = {"arguments.save_strategy": "steps", "arguments.save_steps": "2"}
    expected = train(recipe(whole, collection, tiny_encoder), overrides=saving)
    path = recipe(halves, collection, tiny_encoder)
    train(path, overrides=saving)
    for checkpoint in (halves / "model-checkpoints").iterdir():
        if checkpoint.name != "checkpoint-2":
            (checkpoint / "trainer_state.json").unlink()
            for file in checkpoint.iterdir():
                file.unlink()
            checkpoint.rmdir()
    again = train(path, overrides=saving)
    first, second = (load_file(d / "model.safetensors") for d in (expected, again))
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor)


def test_a_fusion_is_fitted_and_stored_with_the_model(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = recipe(tmp_path, collection, tiny_encoder)
    with path.open("a", encoding="utf-8") as lines:
        lines.write(
            f"\n[fusion]\nencoder = {json.dumps(str(tiny_encoder))}\n[[fusion.sources]]\n"
            f"collection = {json.dumps(str(collection))}\nqueries = 10\n"
        )
    fusion = Fusion.load(train(path))
    assert fusion.signals == {"rerank", "dense", "bm25"}


def test_a_source_without_queries_is_refused_before_training(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = recipe(tmp_path, collection, tiny_encoder)
    with path.open("a", encoding="utf-8") as lines:
        lines.write("\nqueries = 0\n")
    with pytest.raises(InvalidInputError, match="gives no training queries"):
        train(path)
    assert not (tmp_path / "model").exists()


def test_the_listwise_loss_is_that_of_sentence_transformers(tiny_reranker: Path) -> None:
    from sentence_transformers.cross_encoder.losses import ListNetLoss

    model = CrossEncoder(str(tiny_reranker))
    model.eval()
    queries = ["red river", "old bridge"]
    documents = [["the river is red", "snow"], ["a bridge", "an old bridge by the sea", "bread"]]
    labels = [torch.tensor([3.0, 0.5]), torch.tensor([0.0, 2.0, -1.0])]
    ours = ListwiseLoss(model, mini_batch_size=2)([queries, documents], labels)
    theirs = ListNetLoss(model)([queries, documents], labels)
    torch.testing.assert_close(ours, theirs)
