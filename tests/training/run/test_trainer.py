from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("datasets", reason="training needs the extra train")

import torch
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder

from rerank_search.errors import (
    InvalidInputError,
    MissingDependencyError,
    ModelNotFoundError,
)
from rerank_search.evaluation.report.schema import read_report
from rerank_search.reranking.calibration import Calibration
from rerank_search.reranking.fusion import Fusion
from rerank_search.training.model.cross_encoder import LengthSortedCrossEncoder
from rerank_search.training.run.checkpoints import last_whole
from rerank_search.training.train import train
from tests import warm
from tests.waiting import until


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
                "ranks = [1, 6]",
                "per_query = 4",
                "[arguments]",
                "per_device_train_batch_size = 8",
                "learning_rate = 2e-3",
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


NOUNS = ["river", "bridge", "sea", "harbour"]


def relevance(model: CrossEncoder) -> float:
    """Mean logit of texts that answer, minus that of texts that do not."""
    pairs = [(f"which {n}", f"the {n} is the {k}") for k in ("answer", "snow") for n in NOUNS]
    scores = model.predict(pairs, activation_fn=torch.nn.Identity())
    return float(scores[:4].mean() - scores[4:].mean())


@pytest.mark.training
@pytest.mark.parametrize(("loss", "accumulated"), [("listwise", 1), ("bce", 1), ("listwise", 2)])
def test_training_teaches_relevance(
    answers: Path, tiny_encoder: Path, tmp_path: Path, loss: str, accumulated: int
) -> None:
    path = recipe(tmp_path, answers, tiny_encoder, loss=loss)
    options = {
        "arguments.num_train_epochs": "20",
        "arguments.per_device_train_batch_size": str(8 // accumulated),
        "arguments.gradient_accumulation_steps": str(accumulated),
    }
    directory = train(path, overrides=options)
    assert directory == tmp_path / "model"
    assert relevance(CrossEncoder(str(directory))) > 0.5


@pytest.mark.training
def test_a_student_is_smaller_and_learns(answers: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    shape = "[student]\nlayers = 1\nwidth = 16\n"
    path = measured(recipe(tmp_path, answers, tiny_encoder, loss="bce"), shape)
    options = {"epochs": "60", "train_embeddings": "true"}
    trained = CrossEncoder(str(train(path, overrides=options)))
    assert relevance(trained) > 1
    assert trained.config.hidden_size == 16
    assert trained.config.num_hidden_layers == 1
    card = (tmp_path / "model" / "README.md").read_text()
    assert "student" in card
    # It was loaded from a folder that no longer exists.
    for text in (card, (tmp_path / "model" / "config.json").read_text()):
        assert tempfile.gettempdir() not in text


@pytest.mark.training
def test_a_pruned_student_learns(answers: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    path = measured(
        recipe(tmp_path, answers, tiny_encoder, loss="bce"), "[student]\nfeed_forward = 8\n"
    )
    trained = CrossEncoder(str(train(path, overrides={"epochs": "20"})))
    assert relevance(trained) > 0.5
    assert trained.config.intermediate_size == 8
    assert "A student (feed-forward 8)" in (tmp_path / "model" / "README.md").read_text()


def test_a_student_that_says_nothing_is_refused(
    answers: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = measured(recipe(tmp_path, answers, tiny_encoder), "[student]\n")
    with pytest.raises(InvalidInputError, match="a student needs at least one of layers"):
        train(path)


@pytest.mark.training
def test_float16_weights_load_as_float32(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    directory = train(recipe(tmp_path, collection, tiny_encoder, weights="float16"))
    stored = load_file(directory / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    model = CrossEncoder(str(directory))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


SAVING = {"arguments.save_steps": "2", "arguments.num_train_epochs": "3"}
EXACT = SAVING | {"precision": "float32"}


@pytest.fixture(scope="module")
def saved(collection: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that saved checkpoints, for tests that only read it."""
    folder = tmp_path_factory.mktemp("saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RERANK_SEARCH_CACHE", str(folder / "cache"))
        train(recipe(folder, collection, tiny_encoder), overrides=EXACT)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    """A copy of that folder, for a test that goes on with the run."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@pytest.mark.training
def test_the_model_card_says_what_the_model_was_trained_on(saved: Path) -> None:
    card = (saved / "model" / "README.md").read_text()
    assert "colours" in card
    assert "`learning_rate`: 0.002" in card


@pytest.mark.training
def test_an_interrupted_run_goes_on_to_the_same_model(saved: Path, copy: Path) -> None:
    checkpoints = (copy / "model-checkpoints").glob("checkpoint-*")
    shutil.rmtree(max(checkpoints, key=lambda each: int(each.name.rpartition("-")[2])))
    again = train(copy / "recipe.toml", overrides=EXACT)
    first, second = weights(saved / "model"), weights(again)
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor)


@pytest.mark.training
def test_a_checkpoint_that_is_not_whole_is_removed(copy: Path) -> None:
    checkpoints = copy / "model-checkpoints"
    newest = max(checkpoints.glob("checkpoint-*"), key=lambda each: each.stat().st_mtime)
    with (newest / "model.safetensors").open("r+b") as file:
        file.truncate(100)
    before = last_whole(checkpoints)
    assert before is not None
    assert before != newest
    assert not newest.exists()
    again = train(copy / "recipe.toml", overrides=EXACT)
    assert (again / "model.safetensors").is_file()


@pytest.mark.training
def test_checkpoints_of_another_recipe_are_refused(copy: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"another run \(it differs in arguments\)"):
        train(copy / "recipe.toml", overrides=EXACT | {"lr": "1e-5"})


def test_checkpoints_that_no_run_of_ours_has_written_are_left_alone(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "model-checkpoints" / "checkpoint-500" / "model.safetensors"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("days of work")
    with pytest.raises(InvalidInputError, match=r"another run \(it has no recipe.json\)"):
        train(recipe(tmp_path, collection, tiny_encoder))
    assert theirs.read_text() == "days of work"


@pytest.mark.training
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of Unix")
def test_a_killed_run_goes_on_to_the_same_scores(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    # In bfloat16 the order in which threads add numbers affects the weights.
    long = EXACT | {"arguments.num_train_epochs": "12", "arguments.save_steps": "20"}
    expected = train(recipe(whole, collection, tiny_encoder), overrides=long)
    path = recipe(killed, collection, tiny_encoder)
    code = (
        "import sys; from pathlib import Path; from rerank_search.training.train import train; "
        f"train(Path(sys.argv[1]), overrides={long!r})"
    )
    process = warm.start(code, str(path), output=tmp_path / "output")
    checkpoints = killed / "model-checkpoints"
    written = partial(checkpoints.glob, "checkpoint-*/whole.json")
    until(lambda: not process.running or list(written()), 300)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "model").exists()
    again = train(path, overrides=long)
    # Do not compare weights: Adam turns rounding errors of gradients that are 0 into steps, such
    # as those of the biases of keys, on which no score depends.
    pairs = [(f"which {noun} is red", f"The {noun} by the sea is red.") for noun in NOUNS]
    theirs, ours = (CrossEncoder(str(each)).predict(pairs) for each in (expected, again))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.training
def test_scores_are_fused_and_calibrated_after_training(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = measured(
        recipe(tmp_path, collection, tiny_encoder, leaks="allow"),
        f"""
[calibration]
encoder = {json.dumps(str(tiny_encoder))}
candidates = 5
[[calibration.sources]]
collection = {json.dumps(str(collection))}
queries = 10
""",
    )
    directory = train(path)
    assert Fusion.load(directory).signals == {"rerank", "dense", "bm25"}
    fitted_on = Calibration.load(directory).fitted_on
    assert (fitted_on.model, fitted_on.queries, fitted_on.candidates) == ("tiny", 10, 5)
    assert "colours (train)" in section(directory, "Calibration")
    assert (directory / "reliability.svg").is_file()


def test_what_a_calibration_is_fitted_on_is_no_training_data(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = measured(
        recipe(tmp_path, collection, tiny_encoder),
        f"\n[calibration]\n[[calibration.sources]]\ncollection = {json.dumps(str(collection))}\n",
    )
    with pytest.raises(InvalidInputError, match='Set leaks to "remove"'):
        train(path)


def section(directory: Path, title: str) -> str:
    card = (directory / "README.md").read_text(encoding="utf-8")
    return card.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def measured(path: Path, tail: str) -> Path:
    with path.open("a", encoding="utf-8") as lines:
        lines.write("\n" + tail)
    return path


@pytest.mark.training
def test_the_best_checkpoint_by_a_measure_is_kept_and_reported(
    answers: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = measured(
        recipe(tmp_path, answers, tiny_encoder, loss="bce", leaks="allow"),
        f"""
[evaluation]
measure = "nDCG@3"
[[evaluation.sets]]
name = "held"
split = "train"
candidates = 5
candidates_from = "random"
sources = [{{ collection = {json.dumps(str(answers))} }}]
""",
    )
    directory = train(path, overrides={"epochs": "20", "arguments.eval_steps": "40"})
    report = read_report(tmp_path / "model-evaluation")
    [system] = [each for each in report.systems if each.reranker == "tiny"]
    assert system.protocols["all_positives"]["nDCG@10"] == 1.0
    card = (directory / "README.md").read_text()
    assert "held" in card
    assert "all_positives" in card or "all positives" in card


def test_a_source_without_queries_is_refused_before_training(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = recipe(tmp_path, collection, tiny_encoder)
    with path.open("a", encoding="utf-8") as lines:
        lines.write("\nqueries = 0\n")
    with pytest.raises(InvalidInputError, match="colours"):
        train(path)
    assert not (tmp_path / "model").exists()


@pytest.mark.training
def test_a_run_without_a_gain_ends_early(answers: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    path = measured(
        recipe(tmp_path, answers, tiny_encoder, loss="bce", leaks="allow"),
        f"""
[evaluation]
patience = 2
[[evaluation.sets]]
name = "held"
split = "train"
sources = [{{ collection = {json.dumps(str(answers))} }}]
""",
    )
    train(path, overrides={"lr": "0.0", "epochs": "50", "arguments.eval_steps": "1"})
    newest = last_whole(tmp_path / "model-checkpoints")
    assert newest is not None
    # The first evaluation is a gain, the next two are not.
    assert newest.name == "checkpoint-3"


@pytest.mark.training
@pytest.mark.skipif(os.name == "nt", reason="limits of Unix")
@pytest.mark.parametrize("space", [200, 20_000, 100_000])
def test_a_full_disk_is_said_and_the_run_goes_on_with_space(
    space: int, collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = recipe(tmp_path, collection, tiny_encoder)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from rerank_search import StorageFullError\n"
        "from rerank_search.training.train import fit\n"
        "from rerank_search.training.run.prepare import prepare\n"
        f"prepared = prepare(Path(sys.argv[1]), overrides={SAVING!r})\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({space}, {space}))\n"
        "try: fit(prepared)\n"
        "except StorageFullError: sys.exit(28)"  # its text might not fit into the file
    )
    failed = warm.start(code, str(path), output=tmp_path / "output")
    assert failed.wait() == 28, failed.said()
    assert not (tmp_path / "model").exists()
    assert (train(path, overrides=SAVING) / "model.safetensors").is_file()


@pytest.mark.training
def test_changed_data_are_not_taken_for_those_of_the_checkpoints(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = recipe(tmp_path, collection, tiny_encoder, loss="bce")
    train(path)
    checkpoints = tmp_path / "model-checkpoints"
    declared = json.loads((checkpoints / "recipe.json").read_text())
    changed = {**declared, "data": "0" * 64}
    (checkpoints / "recipe.json").write_text(json.dumps(changed))
    with pytest.raises(InvalidInputError, match="it differs in data"):
        train(path)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_an_output_that_is_not_a_model_is_left_alone(
    kind: str, collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "model" / "thesis.txt" if kind == "folder" else tmp_path / "model"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("years of work")
    with pytest.raises(InvalidInputError, match=r"choose another (folder|output)"):
        train(recipe(tmp_path, collection, tiny_encoder))
    assert kept.read_text() == "years of work"


@pytest.mark.training
def test_a_run_that_diverges_writes_no_model(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = recipe(tmp_path, collection, tiny_encoder, loss="bce")
    options = {"lr": "1e38", "epochs": "3", "arguments.max_grad_norm": "0.0"}
    with pytest.raises(InvalidInputError, match="diverged"):
        train(path, overrides=options)
    assert not (tmp_path / "model").exists()


@pytest.mark.training
def test_scores_that_are_not_finite_are_never_a_best_checkpoint(
    answers: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    """A ranking by NaN has an nDCG too."""
    path = measured(
        recipe(tmp_path, answers, tiny_encoder, loss="bce", leaks="allow"),
        f"""
[evaluation]
encoder = {json.dumps(str(tiny_encoder))}
[[evaluation.sets]]
name = "held"
split = "train"
sources = [{{ collection = {json.dumps(str(answers))} }}]
""",
    )
    options = {"lr": "1e38", "eval_steps": "1", "arguments.max_grad_norm": "0.0"}
    with pytest.raises(InvalidInputError, match="diverged"):
        train(path, overrides=options)
    assert not list((tmp_path / "model-checkpoints").glob("checkpoint-*"))


@pytest.mark.training
def test_tensorboard_gets_the_loss(collection: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra"
    )
    path = recipe(tmp_path, collection, tiny_encoder, loss="bce")
    train(path, overrides={"report_to": '"tensorboard"', "arguments.logging_steps": "1"})
    [log] = (tmp_path / "model-checkpoints" / "runs").iterdir()
    read = events.EventAccumulator(str(log)).Reload()
    newest = last_whole(tmp_path / "model-checkpoints")
    assert newest is not None
    state = json.loads((newest / "trainer_state.json").read_text())
    losses = [line["loss"] for line in state["log_history"] if "loss" in line]
    assert [event.value for event in read.Scalars("train/loss")] == pytest.approx(losses)


def test_a_logger_that_is_not_there_is_said_before_mining(
    collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = recipe(tmp_path, collection, tiny_encoder)
    with pytest.raises(InvalidInputError, match="tensorbord"):
        train(path, overrides={"report_to": '"tensorbord"'})
    if importlib.util.find_spec("wandb") is None:
        with pytest.raises(MissingDependencyError, match="wandb"):
            train(path, overrides={"report_to": '"wandb"'})
    assert not (tmp_path / "model-data").exists()


def test_a_leak_is_refused_before_training(
    answers: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    path = measured(
        recipe(tmp_path, answers, tiny_encoder),
        f"""
[evaluation]
[[evaluation.sets]]
name = "held"
split = "train"
sources = [{{ collection = {json.dumps(str(answers))} }}]
""",
    )
    with pytest.raises(InvalidInputError, match="training queries that are also in the evaluation"):
        train(path)
    assert not (tmp_path / "model-checkpoints").exists()


def test_a_base_with_several_labels_is_refused(
    collection: Path, tiny_reranker: Path, tmp_path: Path
) -> None:
    base = tmp_path / "classifier"
    shutil.copytree(tiny_reranker, base)
    config = json.loads((base / "config.json").read_text())
    config["id2label"] = {str(i): f"LABEL_{i}" for i in range(3)}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInputError, match="a classifier with 3 labels"):
        train(recipe(tmp_path, collection, base))


def test_a_base_that_is_not_there_is_said_before_mining(collection: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, collection, tmp_path / "nowhere")
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        train(path)
    assert not (tmp_path / "model-data").exists()


def test_parts_of_a_batch_give_the_scores_of_the_batch(tiny_reranker: Path) -> None:
    pairs = [("red river", "snow " * n) for n in (3, 40, 1, 17, 9, 40)]
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    ours = LengthSortedCrossEncoder(str(tiny_reranker), config_kwargs=without)
    ours.tokens_at_once = 64
    expected = ours.predict(pairs, activation_fn=torch.nn.Identity(), convert_to_tensor=True)
    ours.train()
    scores = ours(ours.preprocess(pairs))["scores"].view(-1)
    torch.testing.assert_close(scores, expected)
    scores.sum().backward()
    assert all(w.grad is not None for w in ours.parameters() if w.requires_grad)
