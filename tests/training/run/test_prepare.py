"""Errors about wrong values name the key before anything is read, loaded or trained."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("datasets", reason="training needs the extra train")

from rerank_search.errors import (
    InvalidInputError,
    MissingDependencyError,
    ModelNotFoundError,
)
from rerank_search.training.recipe.loading import load_recipe
from rerank_search.training.run.prepare import prepare
from rerank_search.training.train import train


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("lr=abc", "arguments.learning_rate='abc' is invalid: it must be of the type float"),
        ("lr=", "arguments.learning_rate='' is invalid: it must be of the type float"),
        ("lr=nan", "arguments.learning_rate=nan is invalid: it must be finite"),
        ("lr=-1", "arguments.learning_rate=-1 is invalid: it must not be negative"),
        ("epochs=three", "arguments.num_train_epochs='three' is invalid"),
        ("epochs=0", "arguments.num_train_epochs=0 is invalid: it must be more than 0"),
        ("epochs=-1", "arguments.num_train_epochs=-1 is invalid: it must be more than 0"),
        (
            "batch_size=0",
            "arguments.per_device_train_batch_size=0 is invalid: it must be more than 0",
        ),
        ("batch_size=auto", "arguments.per_device_train_batch_size='auto' is invalid"),
        ("max_steps=0", "arguments.max_steps=0 is invalid: it must be more than 0"),
        ("gradient_accumulation_steps=0", "it must be more than 0"),
        ("per_device_eval_batch_size=0", "it must be more than 0"),
        ("neftune_noise_alpha=5.0", "arguments.neftune_noise_alpha cannot be set in a recipe"),
        ("report_to=5", "arguments.report_to=5 is invalid"),
        ("eval_strategy=no", 'it must be "steps" or "epoch"'),
        ("output_dir=x", "arguments.output_dir cannot be set in a recipe: set the recipe's output"),
        ("save_only_model=true", "an interrupted run continues from its last complete"),
        ("push_to_hub=true", "with `rerank-search push`"),
        ("load_best_model_at_end=false", "evaluation.measure"),
        ("deepspeed=x.json", "each device has the whole model"),
        ("bf16=true", 'set precision = "bfloat16"'),
        ("learning_rte=1", "unknown key 'learning_rte'; did you mean 'learning_rate'"),
        ("bach_size=1", "unknown key 'bach_size'; did you mean 'batch_size'"),
        ("seed=true", "seed: "),
        ("seed=99999999999999999999", "seed: "),
        ("negatives.margin=nan", "negatives.margin: "),
        ("arguments.lr=1", "unknown key 'arguments.lr': write 'learning_rate'"),
        (".=5", "'.' is not a key"),
        ('sources.0."split=5', "is not a key"),
        ("sources..queries=5", "is not a key"),
        ("sources.1.queries=5", "a list of tables has no entry '1'"),
        ("sources.queries=5", "'sources' is a list: set a key of one of its entries"),
        ("sources.0.split=dev", "train.csv is a file, which is one split: leave split out"),
        ('sources=[{collection = "x", mined = true}]', "mined is for pairs"),
        ("sources.0.made_up=5", "made_up queries need a collection"),
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
        ("lr_scheduler_kwargs={foo = 1}", r"\[arguments\] cannot be used: .*foo"),
        ("adam_beta1=2.0", r"\[arguments\] cannot be used: .*beta"),
        ("lr_scheduler_type=cosine_with_min_lr", r"\[arguments\] cannot be used"),
        ("adam_epsilon=-1.0", r"\[arguments\] cannot be used: .*epsilon"),
        ("evaluation.measure=foo", "evaluation.measure is 'foo', but the first set has pairs"),
        ("loss.options={margin = 1}", "BinaryCrossEntropyLoss has no option 'margin'"),
        ("loss.options={pos_weight = 2.0}", "loss.options cannot be used"),
        ("output=/", "has no name"),
        ("output=.", "contains files that no run has written"),
        ("output=train.csv/model", "cannot be used as a path"),
        ("output=train.csv", "train.csv is a file, but the run needs a folder there"),
        ("output=taken", "taken-checkpoints is a file, but the run needs a folder there"),
        ("max_length=65", "max_length is 65, and the base .* has positions for 64 tokens"),
        ("base=train.csv", "train.csv"),
    ],
)
def test_what_the_libraries_refuse_is_refused_before_the_data(
    pairs_recipe: Path, change: str, message: str
) -> None:
    key, _, value = change.partition("=")
    (pairs_recipe.parent / "train.csv").write_text("not,pairs\n")
    (pairs_recipe.parent / "taken-checkpoints").touch()
    with pytest.raises(Exception, match=message) as caught:
        prepare(pairs_recipe, overrides={key: value})
    assert type(caught.value).__module__ == "rerank_search.errors"


def test_the_base_as_output_is_refused(pairs_recipe: Path, tiny_reranker: Path) -> None:
    with pytest.raises(
        InvalidInputError, match="is the recipe's base, which the model would replace"
    ):
        prepare(pairs_recipe, overrides={"output": str(tiny_reranker)})


@pytest.mark.slow
def test_a_model_that_a_run_learns_from_is_no_output(unmeasured_recipe: Path) -> None:
    trained = train(unmeasured_recipe, overrides={"max_steps": "1"})
    moved = trained.rename(trained.with_name("moved"))
    (moved / "notes.txt").write_text("years of work")
    for key in ("blend.reranker", "negatives.false_negatives.reranker"):
        with pytest.raises(InvalidInputError, match=f"is the recipe's .*{key.split('.')[-2]}"):
            prepare(unmeasured_recipe, overrides={"output": "moved", key: "moved"})
    assert (moved / "notes.txt").is_file()


def test_a_model_that_no_run_has_written_is_no_output(
    pairs_recipe: Path, tiny_reranker: Path
) -> None:
    other = Path(shutil.copytree(tiny_reranker, pairs_recipe.parent / "other"))
    with pytest.raises(InvalidInputError, match="contains files that no run has written"):
        prepare(pairs_recipe, overrides={"output": "other"})
    assert (other / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_link_as_output_stays_one(unmeasured_recipe: Path) -> None:
    folder = unmeasured_recipe.parent
    (folder / "disk").mkdir()
    (folder / "link").symlink_to("disk")
    for _ in range(2):
        directory = train(unmeasured_recipe, overrides={"output": "link", "max_steps": "1"})
    assert directory == (folder / "disk").resolve()
    assert (folder / "link").is_symlink()
    assert (folder / "link" / "model.safetensors").is_file()


def test_paths_begin_at_home_where_they_say_so(
    pairs_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = pairs_recipe.parent / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    recipe = load_recipe(pairs_recipe, {"output": "~/model", "sources.0.pairs": "~/pairs.csv"})
    assert (recipe.output, recipe.sources[0].pairs) == (home / "model", home / "pairs.csv")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"eval_strategy": "steps"}, "arguments.eval_strategy needs an evaluation"),
        ({"eval_on_start": "true"}, "arguments.eval_on_start needs an evaluation"),
        (
            {"dataloader_drop_last": "true", "batch_size": "1000"},
            "the training data have 240 rows, fewer than a batch of 1,000",
        ),
    ],
)
def test_arguments_that_the_run_has_no_use_for_are_named(
    pairs_recipe: Path, overrides: dict[str, str], message: str
) -> None:
    before, _, rest = pairs_recipe.read_text().partition("[evaluation]")
    text = before + "[arguments]" + rest.partition("[arguments]")[2].replace("eval_steps = 5", "")
    pairs_recipe.write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        prepare(pairs_recipe, overrides=overrides)


def test_what_a_calibration_needs_is_looked_for_first(
    pairs_recipe: Path, collection: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def calibrated_on(**options: object) -> dict[str, str]:
        source = {"collection": str(collection), "queries": 5} | options
        table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in source.items())
        return {"calibration.sources": f"[{{{table}}}]"}

    encoder = {"calibration.encoder": json.dumps(str(tiny_encoder))}
    prepare(pairs_recipe, overrides=calibrated_on() | encoder)
    with pytest.raises(ModelNotFoundError, match="no/encoder"):
        prepare(pairs_recipe, overrides=calibrated_on() | {"calibration.encoder": "./no/encoder"})
    with pytest.raises(
        InvalidInputError,
        match="needs at least two queries with a relevant document, and there are 1",
    ):
        prepare(pairs_recipe, overrides=calibrated_on(queries=1) | encoder)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match="matplotlib"):
        prepare(pairs_recipe, overrides=calibrated_on() | encoder)


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
