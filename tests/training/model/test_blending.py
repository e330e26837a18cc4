"""Averages of a trained model's weights and another's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("datasets", reason="training needs the extra train")

import torch
from safetensors.torch import load_file, save_file

from rerank_search.errors import InvalidInputError, ModelNotFoundError
from rerank_search.training.recipe.loading import load_recipe
from rerank_search.training.train import train


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


def blended(recipe: Path, reranker: object, share: float) -> Path:
    overrides = {"blend.reranker": f'"{reranker}"', "blend.share": str(share)}
    return train(recipe, overrides={"epochs": "1"} | overrides)


@pytest.mark.training
def test_the_weights_are_the_average_of_the_trained_ones_and_anothers(
    unmeasured_recipe: Path, tiny_reranker: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(tiny_reranker, tmp_path / "other"))
    theirs = {name: 2 * values for name, values in weights(other).items()}
    save_file(theirs, other / "model.safetensors", metadata={"format": "pt"})
    trained = weights(train(unmeasured_recipe, overrides={"epochs": "1"}))
    # The run has ended: its weights are blended again, without training.
    found = weights(blended(unmeasured_recipe, other, 0.25))
    assert found.keys() == trained.keys()
    for name, values in found.items():
        torch.testing.assert_close(values, 0.75 * trained[name] + 0.25 * theirs[name])
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "The weights are 0.75 of the trained ones and 0.25 of those of `other`" in card


def test_a_model_that_has_other_weights_is_refused(
    unmeasured_recipe: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="is not a cross-encoder"):
        blended(unmeasured_recipe, tiny_encoder, 0.5)
    with pytest.raises(InvalidInputError, match="has weights with other names or shapes"):
        blended(unmeasured_recipe, "rerank-search-tiny", 0.5)
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        blended(unmeasured_recipe, tmp_path / "nowhere", 0.5)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("share = 0.5", "blend.reranker"),
        ('reranker = "a"\nshare = 1', "less than 1"),
        ('reranker = "a"\n[student]\nlayers = 1\nwidth = 16', "another shape"),
    ],
)
def test_a_blend_that_cannot_be_is_refused(tmp_path: Path, table: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'name = "r"\noutput = "out"\n[[sources]]\ncollection = "data"\n[blend]\n{table}\n'
    )
    with pytest.raises(InvalidInputError, match=message):
        load_recipe(path)
