from __future__ import annotations

from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.experiment import experiment_of
from rerank_search.evaluation.loading import load_collections


@pytest.mark.parametrize(
    ("kinds", "settings", "message"),
    [
        (["samples"], {"first_stages": ["bm25"]}, "first_stages are bm25, .*: leave first_stages"),
        (["file"], {"first_stages": ["bm25"]}, "leave first_stages out"),
        (["file", "pairs"], {"candidates": [5]}, "candidates has no effect on labelled pairs"),
        (["file"], {"measures": ["MAP"]}, "measures has no effect on labelled pairs"),
        (["file"], {"primary": "MAP"}, "primary has no effect on labelled pairs"),
    ],
)
def test_what_no_collection_has_a_use_for_is_refused(paths, kinds, settings, message):
    splits = {"pairs": {"split": "dev"}}
    collections = [{"path": paths[kind]} | splits.get(kind, {}) for kind in kinds]
    with pytest.raises(InvalidInputError, match=message):
        load_collections(experiment_of({"collections": collections} | settings))
    collections.append({"path": paths["beir"]})
    experiment = experiment_of({"collections": collections} | settings)
    assert len(load_collections(experiment)) == len(collections)


def test_candidates_of_samples_alone_have_an_effect(paths):
    experiment = experiment_of({"collections": [paths["samples"]], "candidates": [1]})
    assert len(load_collections(experiment)) == 1


def test_a_run_without_documents_has_its_own_first_stage_only(paths):
    qrels = {"qrels": f"{paths['beir']}/qrels.txt", "runs": {"mine": paths["run"]}}
    Path(qrels["qrels"]).write_text("q1 0 join 1\n")
    experiment = experiment_of({"collections": [qrels], "first_stages": ["bm25"]})
    with pytest.raises(InvalidInputError, match="no collection is searched"):
        load_collections(experiment)
