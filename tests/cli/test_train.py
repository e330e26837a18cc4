"""`rerank-search train`, with tiny models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rerank_search.cli.main import app
from rerank_search.errors import InvalidInputError

pytest.importorskip("datasets", reason="training needs the extra train")

Train = Callable[..., Result]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [("river", "stream", 1), ("river", "bread", -1), ("tower", "high", 1), ("tower", "x", 0)]
    path = tmp_path / "pairs.csv"
    lines = [f"{one},{other},{label}" for one, other, label in rows]
    path.write_text("\n".join(["text1,text2,label", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def recipe(tmp_path: Path, tiny_reranker: Path, pairs: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(
        f"""
name = "tiny"
base = {json.dumps(str(tiny_reranker))}
output = "model"
loss = "bce"
[[sources]]
pairs = "{pairs.name}"
label_map = {{ -1 = 0.0, 0 = 0.5, 1 = 1.0 }}
[arguments]
logging_steps = 1
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def train(recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Train:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["train", str(recipe), *arguments], catch_exceptions=False)

    return invoke


@pytest.mark.training
def test_a_dry_run_describes_the_data_and_writes_nothing(train: Train, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    result = train("--dry-run", "--set", "epochs=3")
    assert result.exit_code == 0, result.output
    assert "2 queries, 4 pairs, 2 positive" in result.stdout
    assert "labels: 0 to 1" in result.stdout
    assert "num_train_epochs = 3" in result.stdout
    assert "tokens a second" in result.stdout
    assert set(tmp_path.iterdir()) == before


@pytest.mark.training
def test_a_dry_run_as_json(train: Train) -> None:
    planned = json.loads(train("--dry-run", "--json").stdout)
    assert planned["sets"][0]["pairs"] == 4
    assert planned["time"]["passes"] == 1
    assert planned["time"]["seconds"] > 0


@pytest.mark.training
def test_a_run_says_where_the_model_is(train: Train, tmp_path: Path) -> None:
    result = train()
    assert result.exit_code == 0, result.output
    assert f"trained {tmp_path / 'model'}" in result.stdout
    [line] = result.stderr.splitlines()
    assert line.startswith("step 1 of 1 (epoch 1.00): loss ")
    assert (tmp_path / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("los.name=bce", "unknown key 'los'; did you mean 'loss'"),
        ("loss.options={margin = 1}", "BinaryCrossEntropyLoss has no option 'margin'"),
        ("name.first=x", "not a table"),
        ("lr_scheduler_type=often", r"\[arguments\] cannot be used"),
    ],
)
def test_a_mistake_is_named_before_anything_is_trained(
    train: Train, tmp_path: Path, change: str, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        train("--set", change)
    assert not (tmp_path / "model").exists()


def test_a_change_without_a_value_is_wrong_usage(train: Train) -> None:
    result = train("--set", "lr")
    assert result.exit_code == 2
    assert "write KEY=VALUE" in result.stderr


def test_labels_out_of_range_are_refused_with_the_map_that_mends_them(
    train: Train, recipe: Path
) -> None:
    text = recipe.read_text().replace("label_map = { -1 = 0.0, 0 = 0.5, 1 = 1.0 }\n", "")
    recipe.write_text(text)
    with pytest.raises(InvalidInputError, match="the labels go from -1 to 1") as caught:
        train()
    assert "label_map = {-1 = 0.0, 0 = 0.5, 1 = 1.0}" in str(caught.value)
