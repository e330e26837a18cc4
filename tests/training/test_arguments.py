"""Wrong values are named with their key before anything is read, loaded or trained."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("datasets", reason="training needs the extra train")

from rerank_search.errors import InvalidInputError
from rerank_search.training.recipe import load_recipe
from rerank_search.training.trainer import prepare


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("lr=abc", "arguments.learning_rate is 'abc': it must be of the type float"),
        ("lr=", "arguments.learning_rate is '': it must be of the type float"),
        ("lr=nan", "arguments.learning_rate is nan: it must be finite"),
        ("lr=-1", "arguments.learning_rate is -1: it must not be negative"),
        ("epochs=three", "arguments.num_train_epochs is 'three'"),
        ("epochs=0", "arguments.num_train_epochs is 0: it must be more than 0"),
        ("epochs=-1", "arguments.num_train_epochs is -1: it must be more than 0"),
        ("batch_size=0", "arguments.per_device_train_batch_size is 0: it must be more than 0"),
        ("batch_size=auto", "arguments.per_device_train_batch_size is 'auto'"),
        ("max_steps=0", "arguments.max_steps is 0: it must be more than 0"),
        ("gradient_accumulation_steps=0", "it must be more than 0"),
        ("report_to=5", "arguments.report_to is 5"),
        ("eval_strategy=no", 'it must be "steps" or "epoch"'),
        ("output_dir=x", "arguments.output_dir is not for a recipe: set the recipe's output"),
        ("save_only_model=true", "a run goes on from its last whole checkpoint"),
        ("push_to_hub=true", "uploaded by rerank-search push"),
        ("load_best_model_at_end=false", "evaluation.measure"),
        ("deepspeed=x.json", "the whole model on each device"),
        ("bf16=true", 'set precision = "bfloat16"'),
        ("learning_rte=1", "unknown key 'learning_rte'; did you mean 'learning_rate'"),
        ("bach_size=1", "unknown key 'bach_size'; did you mean 'batch_size'"),
        ("seed=true", "seed: "),
        ("seed=99999999999999999999", "seed: "),
        ("negatives.margin=nan", "negatives.margin: "),
        ("sources.1.queries=5", "there is no '1' in a list of tables"),
        ("sources.0.made_up=5", "made_up queries are cut out of a collection's documents"),
    ],
)
def test_a_wrong_value_is_named(pairs_recipe: Path, change: str, message: str) -> None:
    key, _, value = change.partition("=")
    with pytest.raises(InvalidInputError) as caught:
        load_recipe(pairs_recipe, {key: value})
    assert message in str(caught.value)
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("lr_scheduler_type=steep", r"\[arguments\] cannot be used: .*steep"),
        ("save_steps=3", r"\[arguments\] cannot be used"),
        ("evaluation.measure=foo", "evaluation.measure is 'foo', and the first set has pairs"),
        ("loss.options={margin = 1}", "BinaryCrossEntropyLoss has no option 'margin'"),
        ("loss.options={pos_weight = 2.0}", "loss.options cannot be used"),
        ("output=/", "has no name"),
        ("output=.", "a folder with other things than a model"),
        ("output=train.csv/model", "cannot be a path"),
        ("output=train.csv", "is a file: name a folder"),
        ("max_length=65", "max_length is 65, and the base .* has positions for 64 tokens"),
        ("base=train.csv", "train.csv"),
    ],
)
def test_what_the_libraries_refuse_is_refused_before_the_data(
    pairs_recipe: Path, change: str, message: str
) -> None:
    key, _, value = change.partition("=")
    (pairs_recipe.parent / "train.csv").write_text("not,pairs\n")
    with pytest.raises(Exception, match=message) as caught:
        prepare(pairs_recipe, overrides={key: value})
    assert type(caught.value).__module__ == "rerank_search.errors"


def test_the_base_as_output_is_refused(pairs_recipe: Path, tiny_reranker: Path) -> None:
    with pytest.raises(InvalidInputError, match="is the base, which the model would replace"):
        prepare(pairs_recipe, overrides={"output": str(tiny_reranker)})


def test_an_entry_of_a_list_is_set_by_its_number(pairs_recipe: Path) -> None:
    recipe = load_recipe(pairs_recipe, {"sources.0.queries": "5"})
    assert recipe.sources[0].queries == 5


def test_a_short_run_logs_its_loss(pairs_recipe: Path) -> None:
    assert prepare(pairs_recipe).arguments.logging_steps == 1
    assert prepare(pairs_recipe, overrides={"epochs": "10"}).arguments.logging_steps == 7
    assert prepare(pairs_recipe, overrides={"logging_steps": "3"}).arguments.logging_steps == 3


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("text1,text2,label\na,b,1\nc,d,1\n", "all have the label 1"),
        ("text1,text2,label\na,b,0\nc,d,0\n", "all have the label 0"),
    ],
)
def test_pairs_of_one_class_are_nothing_to_watch(
    pairs_recipe: Path, rows: str, problem: str
) -> None:
    (pairs_recipe.parent / "dev.csv").write_text(rows)
    with pytest.raises(InvalidInputError, match=f"held cannot tell models apart.*{problem}"):
        prepare(pairs_recipe)


def test_samples_without_two_kinds_of_texts_are_nothing_to_watch(
    pairs_recipe: Path, tmp_path: Path
) -> None:
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"query": "which river", "positive": "a river", "negative": ["bread"]}\n')
    text = pairs_recipe.read_text().replace('pairs = "dev.csv"', f'samples = "{samples.name}"')
    pairs_recipe.write_text(text.replace('measure = "average_precision"', ""))
    prepare(pairs_recipe)
    with pytest.raises(InvalidInputError, match="held cannot tell models apart"):
        prepare(pairs_recipe, overrides={"evaluation.protocol": "retrieved"})
