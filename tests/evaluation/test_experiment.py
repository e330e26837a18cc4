from __future__ import annotations

from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.experiment import Experiment, experiment_of, load_experiment


def written(folder: Path, text: str) -> Path:
    path = folder / "first-look.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_experiment_is_as_small_as_a_path(tmp_path):
    experiment = load_experiment(written(tmp_path, 'collections = ["../data/small"]'))
    [collection] = experiment.collections
    assert experiment.name == "first-look"
    assert collection.path == tmp_path / "../data/small"
    assert collection.split is None
    assert experiment.first_stages == []
    assert experiment.candidates == [100]
    assert experiment.rerankers == []


def test_paths_are_relative_to_the_file_and_those_of_a_collection_to_its_folder(tmp_path):
    text = """
    [[collections]]
    path = "small"
    runs = { published = "candidates/bm25.trec" }
    excluded = "sources.tsv"
    [[collections]]
    qrels = "trec/qrels.txt"
    topics = "trec/topics.xml"
    documents = "/corpora/docs.jsonl"
    """
    beir, trec = load_experiment(written(tmp_path, text)).collections
    assert beir.runs == {"published": tmp_path / "small/candidates/bm25.trec"}
    assert beir.excluded == tmp_path / "small/sources.tsv"
    assert trec.qrels == tmp_path / "trec/qrels.txt"
    assert trec.topics == tmp_path / "trec/topics.xml"
    assert trec.documents == Path("/corpora/docs.jsonl")


def test_rerankers_are_named_in_tables_by_model_and_by_whether_they_are_fused():
    experiment = Experiment.model_validate(
        {
            "collections": ["a"],
            "rerankers": [
                "cross-encoder/ms-marco-MiniLM-L6-v2",
                {"model": "rerank-search-base", "fusion": False},
                {"model": "rerank-search-base", "name": "ours"},
            ],
        }
    )
    labels = [reranker.label for reranker in experiment.rerankers]
    assert labels == ["ms-marco-MiniLM-L6-v2", "rerank-search-base-logit", "ours"]


UNUSABLE_NAMES = [
    ("", "the name '' is empty"),
    (".", "the name '.' means a folder"),
    ("..", "the name '..' means a folder"),
    ("a/b", "the name 'a/b' contains a slash"),
    ("a\\b", r"contains a slash"),
    ("my name", "the name 'my name' contains white space"),
    ("a\0b", r"the name 'a\\x00b' contains a character that cannot be printed"),
    ("a\x1b[1m", "contains a character that cannot be printed"),
    ("\ud800", "contains a character that cannot be printed"),
    ("ä" * 51, "has 102 bytes, more than 100"),
]


@pytest.mark.parametrize(("name", "message"), UNUSABLE_NAMES)
@pytest.mark.parametrize(
    "given",
    [
        lambda name: {"collections": [{"path": "a", "name": name}]},
        lambda name: {"collections": [{"path": "a", "runs": {name: "b"}}]},
        lambda name: {"collections": ["a"], "rerankers": [{"model": "b", "name": name}]},
    ],
    ids=["collection", "run", "reranker"],
)
def test_a_name_that_files_cannot_have_is_refused_with_the_reason(given, name, message):
    with pytest.raises(InvalidInputError, match=f"{message}.*: give another name"):
        experiment_of(given(name))


@pytest.mark.parametrize("name", ["a" * 100, "ä" * 50, "[red]", "BM25+x@2", ".hidden", "日本語"])
def test_any_other_name_is_fine(name):
    experiment = experiment_of({"collections": ["a"], "rerankers": [{"model": "b", "name": name}]})
    assert experiment.rerankers[0].label == name


@pytest.mark.parametrize("name", ["", "first look", "a" * 255])
def test_an_experiment_may_be_called_as_a_folder_can_be(name):
    assert experiment_of({"collections": ["a"], "name": name}).name == name
    with pytest.raises(InvalidInputError, match="has 256 bytes, more than 255"):
        experiment_of({"collections": ["a"], "name": "a" * 256})


@pytest.mark.parametrize("model", [".", "..", "models/..", "/", "a\0b", "x" * 101])
def test_a_model_whose_path_makes_no_label_asks_for_a_name(model):
    with pytest.raises(InvalidInputError, match=r"rerankers\.0: .*the reranker .*: give another"):
        experiment_of({"collections": ["a"], "rerankers": [model]})
    named = experiment_of({"collections": ["a"], "rerankers": [{"model": model, "name": "b"}]})
    assert named.rerankers[0].label == "b"


def test_an_experiment_comes_back_from_json_as_it_was():
    experiment = experiment_of({"collections": ["a", {"qrels": "b", "runs": {"c": "d"}}]})
    assert Experiment.model_validate_json(experiment.model_dump_json()) == experiment


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("collections = []", "collections: .* at least 1"),
        ('collections = ["a"]\nrerankres = ["b"]', "'rerankres'; did you mean 'rerankers'?"),
        (
            '[[collections]]\npath = "a"\nsplti = "dev"',
            "'collections.0.splti'; did you mean 'split'",
        ),
        ('collections = ["a"]\n[statistics]\nsede = 1', "'statistics.sede'; did you mean 'seed'"),
        ('collections = ["a"]\n[statistics]\nseed = -1', "statistics.seed: .* equal to 0"),
        (
            '[[collections]]\npath = "a"\nrelevant_from = 1_000_000_000_000',
            "collections.0.relevant_from: .* less than or equal to 999999999",
        ),
        ('name = "../../x"\ncollections = ["a"]', "name: .*'../../x' contains a slash"),
        ('name = ".."\ncollections = ["a"]', "name: .*'..' means a folder"),
        ('collections = ["a"]\ncandidates = [0]', "candidates.0: .* greater than or equal to 1"),
        ('collections = ["a"]\nfirst_stages = ["bm25", "bm25"]', "has duplicates"),
        ('collections = ["a"]\nrerankers = ["b", "b"]', "has duplicates"),
        (
            'collections = ["a"]\nfirst_stages = ["bm52"]',
            "first_stages.0: there is no first stage 'bm52': use one of bm25, dense, hybrid",
        ),
        (
            'collections = ["a"]\nfirst_stages = ["dense"]\nindex = { encoder = false }',
            "the first stage dense needs an encoder: set index.encoder, or leave dense out",
        ),
        (
            'collections = ["a"]\nrerankers = [{ model = "b", name = "../c" }]',
            "'../c' contains a slash",
        ),
        ('[[collections]]\npath = "a"\nruns = { bm25 = "b" }', "a run cannot have the name 'bm25'"),
        ('[[collections]]\nqrels = "a"', "qrels alone cannot be evaluated"),
        ('[[collections]]\nqrels = "a"\ndocuments = "b"', "give topics too"),
        ('[[collections]]\nqrels = "a"\nindex = "b"\nruns = { c = "d" }', "give topics too"),
        ('[[collections]]\nqrels = "a"\nruns = { c = "d" }\nsplit = "dev"', "leave split out"),
        ('[[collections]]\nsplit = "dev"', "give either path .* or qrels"),
        ('[[collections]]\npath = "a"\nqrels = "b"', "give either path .* or qrels"),
        ('[[collections]]\npath = "a"\ntopics = "b"', "topics and documents go with qrels"),
        (
            'collections = ["a"]\n[statistics]\ntest = "wilcoxon"',
            "statistics.test: .*randomisation",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(InvalidInputError, match=message) as caught:
        load_experiment(path)
    assert str(path) in str(caught.value)


def test_the_arguments_of_a_command_line_are_checked_alike():
    with pytest.raises(InvalidInputError, match=r"candidates.0: .* greater"):
        experiment_of({"collections": ["a"], "candidates": [0]})
