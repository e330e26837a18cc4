"""Runs that end early, are killed, moved, repeated, or shared by several processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("datasets", reason="training needs the extra train")

import torch
from safetensors.torch import load_file

from rerank_search.errors import InvalidInputError, RunLockedError, StorageFullError
from rerank_search.evaluation.report.schema import PairReport, read_report
from rerank_search.lock import ProcessLock
from rerank_search.training.run.checkpoints import last_whole
from rerank_search.training.run.prepare import prepare
from rerank_search.training.train import train
from tests import warm
from tests.training.conftest import write_pairs_recipe
from tests.waiting import until


def state(folder: Path) -> dict[str, object]:
    """What the trainer has written into the newest checkpoint."""
    newest = last_whole(folder / "model-checkpoints")
    assert newest is not None
    found: dict[str, object] = json.loads((newest / "trainer_state.json").read_bytes())
    return found


def report_pairs(folder: Path) -> Sequence[PairReport]:
    return read_report(folder / "model-evaluation").pairs


def measures(folder: Path, model: str = "tiny") -> dict[str, float]:
    """The evaluation's figures of the finished model, or of "untuned"."""
    return next(dict(each.values) for each in report_pairs(folder) if each.reranker == model)


@pytest.fixture(scope="module")
def finished(tiny_reranker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run, for tests that only read it."""
    folder = tmp_path_factory.mktemp("finished")
    path = write_pairs_recipe(folder, tiny_reranker)
    text = path.read_text().replace("num_train_epochs = 2", "num_train_epochs = 8")
    path.write_text(text.replace("eval_steps = 5", "eval_steps = 20"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RERANK_SEARCH_CACHE", str(folder / "cache"))
        train(path)
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of that folder, as after a move, for a test that goes on with the run."""
    return Path(shutil.copytree(finished, tmp_path / "project"))


@pytest.mark.training
def test_hundreds_of_pairs_become_a_better_model_with_a_card(finished: Path) -> None:
    directory = finished / "model"
    before, after = (
        measures(finished, model)["average_precision"] for model in ("untuned", "tiny")
    )
    assert after > before + 0.1
    card = (directory / "README.md").read_text(encoding="utf-8")
    assert f"| {before:.4f} | {after:.4f} |" in card
    assert "240" in card
    assert "8.00 passes" in card
    assert "Intervals are bootstrapped over pairs." in card
    [pairs] = [each for each in report_pairs(finished) if each.reranker == "tiny"]
    low, high = pairs.intervals["average_precision"]
    assert low < after < high
    assert f"| {after:.4f} | {low:.4f} to {high:.4f} |" in card
    report = (finished / "model-evaluation" / "report.md").read_text(encoding="utf-8")
    assert f"{after:.4f} [{low:.3f}, {high:.3f}]" in report
    assert {each.name for each in directory.glob("*.svg")} == {"loss.svg", "measures.svg"}


@pytest.mark.training
@pytest.mark.parametrize("kilobytes", [300, 600, 900])
def test_a_disk_that_fills_up_anywhere_is_said_and_the_run_goes_on(
    kilobytes: int, pairs_recipe: Path, small_disk: Callable[[int], Path]
) -> None:
    options = {"max_steps": "6", "output": str(small_disk(kilobytes) / "model")}
    for _ in range(2):  # files of the first attempt cause no other error
        with pytest.raises(StorageFullError, match="no space is left"):
            train(pairs_recipe, overrides=options)
    small_disk(10_000)
    assert (train(pairs_recipe, overrides=options) / "model.safetensors").is_file()


@pytest.mark.training
def test_every_source_counts_whatever_their_folders_are_called(unmeasured_recipe: Path) -> None:
    recipe = unmeasured_recipe.read_text(encoding="utf-8")
    sources = ""
    for place, name in enumerate(("data", "data-3", "data", "data")):
        file = unmeasured_recipe.parent / name / f"{place}.csv"
        file.parent.mkdir(exist_ok=True)
        rows = [f"query {place} {i},text {i},{i % 2}" for i in range(10)]
        file.write_text("\n".join(["text1,text2,label", *rows]) + "\n", encoding="utf-8")
        sources += f'[[sources]]\npairs = "{name}/{place}.csv"\n'
    unmeasured_recipe.write_text(recipe.replace("[arguments]", f"{sources}[arguments]"))
    train(unmeasured_recipe, overrides={"batch_size": "10", "epochs": "1"})
    assert state(unmeasured_recipe.parent)["global_step"] == (240 + 4 * 10) / 10


@pytest.mark.training
def test_the_report_names_the_model_where_it_lies(finished: Path) -> None:
    directory = finished / "model"
    report = (finished / "model-evaluation" / "report.md").read_text(encoding="utf-8")
    assert f"{directory}," in report
    assert not directory.with_name("model.tmp").exists()
    assert not directory.with_name("model.old").exists()


@pytest.mark.training
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of Unix")
def test_a_run_killed_while_it_saves_ends_with_the_same_measures(
    pairs_recipe: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(pairs_recipe.parent, whole, ignore=shutil.ignore_patterns("cache", "whole"))
    options = {"evaluation.patience": "2", "epochs": "4", "eval_steps": "10", "dropout": "0.1"}
    train(whole / "recipe.toml", overrides=options)
    command = ["train", str(pairs_recipe)]
    command += [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
    checkpoints = pairs_recipe.parent / "model-checkpoints"
    kills = 0
    for wanted in (1, 2):  # wait until something was written
        process = warm.start(warm.COMMAND_LINE, *command, output=tmp_path / "output")
        until(partial(_written, process, checkpoints, wanted), 300)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills
    train(pairs_recipe, overrides=options)
    assert state(pairs_recipe.parent)["global_step"] == state(whole)["global_step"]
    found, expected = measures(pairs_recipe.parent), measures(whole)
    assert found == pytest.approx(expected, abs=0.01)


def _written(process: warm.Warm, checkpoints: Path, wanted: int) -> bool:
    """Whether so many checkpoints are there, or there will be no more."""
    return not process.running or len(list(checkpoints.glob("checkpoint-*"))) >= wanted


@pytest.mark.training
def test_a_run_that_ended_early_is_not_trained_on_when_it_is_repeated(pairs_recipe: Path) -> None:
    options = {"lr": "0.0", "evaluation.patience": "2", "eval_steps": "1", "epochs": "3"}
    directory = train(pairs_recipe, overrides=options)
    before = state(pairs_recipe.parent)
    # The first evaluation is a gain, the next two are not.
    assert before["global_step"] == 3
    shutil.rmtree(directory)
    train(pairs_recipe, overrides=options)
    assert state(pairs_recipe.parent) == before
    assert (directory / "model.safetensors").is_file()


@pytest.mark.training
def test_a_repeated_run_gives_the_same_weights_and_the_time_of_the_training(copy: Path) -> None:
    directory = copy / "model"
    first = load_file(directory / "model.safetensors")
    [told] = [
        line for line in (directory / "README.md").read_text().splitlines() if "passes over" in line
    ]
    assert train(copy / "recipe.toml") == directory
    again = load_file(directory / "model.safetensors")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert told in (directory / "README.md").read_text()


@pytest.mark.training
def test_a_run_goes_on_from_another_folder_and_after_a_move(
    finished: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, first = state(finished), load_file(finished / "model" / "model.safetensors")
    monkeypatch.chdir(copy.parent)
    again = load_file(train(Path("project/recipe.toml")) / "model.safetensors")
    assert state(copy)["global_step"] == before["global_step"]
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.training
def test_another_base_at_the_same_place_is_another_run(
    unmeasured_recipe: Path, tiny_reranker: Path
) -> None:
    base = unmeasured_recipe.parent / "base"
    shutil.copytree(tiny_reranker, base)
    overrides = {"base": "base", "max_steps": "2"}
    train(unmeasured_recipe, overrides=overrides)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-6}))
    with pytest.raises(InvalidInputError, match="it differs in weights of the base"):
        train(unmeasured_recipe, overrides=overrides)


@pytest.mark.training
def test_other_data_to_be_measured_on_are_another_run(copy: Path) -> None:
    dev = copy / "dev.csv"
    dev.write_text(dev.read_text().replace(",0\n", ",x\n").replace(",1\n", ",0\n"))
    dev.write_text(dev.read_text().replace(",x\n", ",1\n"))
    with pytest.raises(InvalidInputError, match="it differs in data of the evaluation"):
        train(copy / "recipe.toml")


@pytest.mark.training
def test_a_best_checkpoint_that_is_gone_is_said(copy: Path) -> None:
    named = Path(str(state(copy)["best_model_checkpoint"]))
    best = copy / "model-checkpoints" / named.name
    newest = last_whole(best.parent)
    assert newest is not None
    if best == newest:  # so that it is another one
        best = best.with_name("checkpoint-1")
        text = (newest / "trainer_state.json").read_text().replace(newest.name, best.name)
        (newest / "trainer_state.json").write_text(text)
    shutil.rmtree(best, ignore_errors=True)
    with pytest.raises(InvalidInputError, match="the best checkpoint of this run, is missing"):
        train(copy / "recipe.toml")


@pytest.mark.training
def test_two_runs_do_not_write_into_one_output(unmeasured_recipe: Path) -> None:
    checkpoints = unmeasured_recipe.parent / "model-checkpoints"
    checkpoints.mkdir()
    other = ProcessLock(checkpoints / "lock")
    assert other.acquire(0)
    with pytest.raises(RunLockedError, match=r"this process itself, since .* is training into"):
        train(unmeasured_recipe)
    other.release()
    assert (train(unmeasured_recipe, overrides={"max_steps": "1"}) / "config.json").is_file()


@pytest.mark.training
def test_a_model_that_cannot_be_written_leaves_nothing_half_done(copy: Path) -> None:
    folder, directory = copy, copy / "model"
    kept = (directory / "README.md").read_bytes()
    (folder / "model-evaluation" / "report.json").unlink()
    (folder / "model-evaluation" / "report.json").mkdir()  # in the place of a file
    with pytest.raises(OSError, match=r"report\.json"):
        train(copy / "recipe.toml")
    assert not (folder / "model.tmp").exists()
    assert (directory / "README.md").read_bytes() == kept


def in_two_processes(recipe: Path) -> list[str]:
    """Train in two processes with the variables of torchrun; return what they have said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    several = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    several |= {"RERANK_SEARCH_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    processes = []
    for rank in ("0", "1"):
        place = {"RANK": rank, "LOCAL_RANK": rank}
        output = recipe.parent / f"output-{rank}"
        command = ("train", str(recipe), "--set=epochs=8", "--set=eval_steps=15")
        processes.append(
            warm.start(warm.COMMAND_LINE, *command, output=output, environment=several | place)
        )
    for process in processes:
        assert process.wait() == 0, process.said()
    return [process.said() for process in processes]


@pytest.mark.training
def test_two_processes_train_one_model(pairs_recipe: Path) -> None:
    """As with two GPUs, but gradients are exchanged between processes on the CPU."""
    first, second = in_two_processes(pairs_recipe)
    assert (first + second).count("trained ") == 1
    # 15 batches a pass: 7 steps of two, and one of one batch.
    assert state(pairs_recipe.parent)["global_step"] == 56
    assert (first + second).count("step 15 of 56") == 2  # its loss and its measures, once each
    before, after = (
        measures(pairs_recipe.parent, model)["average_precision"] for model in ("untuned", "tiny")
    )
    assert after > before + 0.1
    in_two_processes(pairs_recipe)
    assert state(pairs_recipe.parent)["global_step"] == 56


def test_what_was_found_in_single_sets_is_told(pairs_recipe: Path) -> None:
    pairs = pairs_recipe.parent / "dev.csv"
    pairs.write_text(pairs.read_text() + " ,river,1\n", encoding="utf-8")
    assert any(note.startswith("held: 1 ") for note in prepare(pairs_recipe).notes)
