from __future__ import annotations

import csv
import hashlib
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_search.errors import InvalidInputError, MissingDependencyError
from rerank_search.evaluation.measures import Scorer, canonical, cut_too_deep
from rerank_search.ranking import ranked

ALL = ["MAP", "MAP@3", "MRR", "MRR@3", "nDCG", "nDCG@3", "R@3", "P@3", "Success@1", "Judged@3"]
SHARED = Path(__file__).parents[3] / "shared" / "data"
SPLITS = sorted(SHARED.glob("*/qrels/*.tsv"))


def score(qrels, ranking, measures=ALL, **options):
    return Scorer({"q": qrels}, measures, **options).score({"q": ranking})["q"]


def by_pytrec_eval(qrels, rankings, measures, relevant_from=1):
    """The measures by pytrec_eval alone; those that it lacks are derived from those that it has."""
    import pytrec_eval

    names = {"MAP": "map", "MRR": "recip_rank", "nDCG": "ndcg", "R": "recall", "P": "P"}
    cut = {"MAP": "map_cut", "nDCG": "ndcg_cut", "R": "recall", "P": "P", "Success": "success"}
    values = {query: {} for query in rankings}
    # If all grades of a query are negative, it may never end, depending on memory.
    grades = {q: {d: max(grade, 0) for d, grade in own.items()} for q, own in qrels.items()}
    for measure in measures:
        kind, _, k = measure.partition("@")
        if kind == "Judged":
            for query, ranking in rankings.items():
                first = ranking[: int(k)]
                judged = sum(document in qrels[query] for document in first)
                values[query][measure] = judged / len(first) if first else 0.0
            continue
        length = int(k) if kind == "MRR" and k else None
        runs = {
            query: {document: 1 / (place + 1) for place, document in enumerate(ranking[:length])}
            for query, ranking in rankings.items()
        }
        name = f"{cut[kind]}_{k}" if k and kind != "MRR" else names[kind]
        evaluator = pytrec_eval.RelevanceEvaluator(grades, {name}, relevance_level=relevant_from)
        found = evaluator.evaluate(runs)
        for query in rankings:
            values[query][measure] = found.get(query, {}).get(name, 0.0)
    return values


def test_names_are_shown_in_one_spelling():
    assert canonical(["map", "ap@100", "rr@10", "NDCG@10", "Recall@100", "precision@10"]) == [
        "MAP",
        "MAP@100",
        "MRR@10",
        "nDCG@10",
        "R@100",
        "P@10",
    ]


def test_a_measure_named_twice_comes_once():
    assert canonical(["MAP", "success@1", "AP"]) == ["MAP", "Success@1"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ncdg@10", "did you mean 'ndcg'"),
        ("hits@10", "no measure 'hits@10': use MAP, MRR or nDCG"),
        ("R", "write, for example, R@10"),
        ("nDCG@", "whole number"),
        ("nDCG@0", "whole number"),
        ("nDCG@ten", "whole number"),
        ("", "whole number"),
    ],
)
def test_a_name_that_is_no_measure_is_an_error(name, message):
    with pytest.raises(InvalidInputError, match=message):
        canonical([name])


def test_no_measure_at_all_is_an_error():
    with pytest.raises(InvalidInputError, match="measures is empty"):
        canonical([])


def test_measures_worked_by_hand():
    values = score({"a": 2, "b": 1, "c": 1, "d": 0}, ["x", "a", "d", "b"])

    ideal = 2 + 1 / math.log2(3) + 1 / math.log2(4)
    assert values == pytest.approx(
        {
            "MAP": (1 / 2 + 2 / 4) / 3,
            "MAP@3": (1 / 2) / 3,
            "MRR": 1 / 2,
            "MRR@3": 1 / 2,
            "nDCG": (2 / math.log2(3) + 1 / math.log2(5)) / ideal,
            "nDCG@3": 2 / math.log2(3) / ideal,
            "R@3": 1 / 3,
            "P@3": 1 / 3,
            "Success@1": 0.0,
            "Judged@3": 2 / 3,
        }
    )
    assert list(values) == ALL


def test_reciprocal_rank_ends_at_its_cutoff():
    ranking = ["x", "y", "z", "a"]

    assert score({"a": 1}, ranking, ["MRR@3", "MRR@4"]) == {"MRR@3": 0.0, "MRR@4": 0.25}


def test_cutoff_beyond_the_ranking_divides_precision_by_the_cutoff_and_judged_by_the_ranking():
    assert score({"a": 1}, ["a", "x"], ["P@4", "Judged@4"]) == {"P@4": 0.25, "Judged@4": 0.5}


def test_relevant_from_moves_the_binary_measures_and_leaves_ndcg_alone():
    grades, ranking = {"a": 1, "b": 2}, ["a", "b"]
    measures = ["MRR", "P@2", "R@1", "nDCG@2"]

    low = score(grades, ranking, measures)
    high = score(grades, ranking, measures, relevant_from=2)

    assert (low["MRR"], low["P@2"], low["R@1"]) == (1.0, 1.0, 0.5)
    assert (high["MRR"], high["P@2"], high["R@1"]) == (0.5, 0.5, 0.0)
    assert high["nDCG@2"] == low["nDCG@2"] < 1.0


def test_a_grade_of_0_cannot_be_called_relevant():
    with pytest.raises(InvalidInputError, match="is too low: give at least 1"):
        Scorer({}, ["MAP"], relevant_from=0)


def test_a_negative_grade_is_judged_and_not_relevant():
    values = score({"a": 1, "b": -2}, ["b", "a"], ["MRR", "nDCG@2", "Judged@2"])

    assert values == pytest.approx({"MRR": 0.5, "nDCG@2": 1 / math.log2(3), "Judged@2": 1.0})


def test_an_empty_ranking_counts_0():
    scorer = Scorer({"q": {"a": 1}, "r": {"b": 1}}, ALL)

    values = scorer.score({"q": [], "r": ["b"]})

    assert values["q"] == dict.fromkeys(ALL, 0.0)
    assert values["r"]["MAP"] == 1.0


def test_a_query_without_anything_relevant_counts_0_and_can_be_judged():
    assert score({"a": 0}, ["a"]) == {**dict.fromkeys(ALL, 0.0), "Judged@3": 1.0}


def test_no_rankings_have_no_values():
    assert Scorer({"q": {"a": 1}}, ALL).score({}) == {}


def test_a_query_without_judgements_is_an_error():
    with pytest.raises(InvalidInputError, match="query 'other' has no judgements"):
        Scorer({"q": {"a": 1}}, ["MAP"]).score({"other": ["a"]})


def test_a_document_twice_in_a_ranking_is_an_error():
    with pytest.raises(InvalidInputError, match="query 'q' has the document 'a' twice"):
        score({"a": 1}, ["a", "b", "a"])


@pytest.mark.parametrize(
    ("qrels", "ranking"), [({"a\0x": 1, "a\0y": 0}, ["a"]), ({"a": 1}, ["b", "a\0x"])]
)
def test_an_id_with_a_null_character_is_an_error(qrels, ranking):
    with pytest.raises(InvalidInputError, match=r"'a.x00x', of the query 'q' or of a document"):
        score(qrels, ranking)


def test_a_missing_library_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_measures", None)

    with pytest.raises(MissingDependencyError, match=r"pip install 'rerank-search\[eval\]'"):
        Scorer({}, ["MAP"])


def test_importing_the_evaluation_loads_no_heavy_library():
    modules = ("measures", "sbert", "classification", "statistics")
    program = (
        "import sys\n"
        + "".join(f"import rerank_search.evaluation.{module}\n" for module in modules)
        + "heavy = {'ir_measures', 'sklearn', 'scipy', 'torch', 'pandas', 'matplotlib'}\n"
        "raise SystemExit(', '.join(heavy & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_judgements_that_are_all_negative_give_zeros():
    # Repeat until freed memory is used again, which pytrec_eval once read.
    for place in range(200):
        qrels = {"q": {f"d{place}": -1, "e": -2}}
        values = Scorer(qrels, ["nDCG@10", "MAP", "MRR@10"]).score({"q": ["e", f"d{place}"]})
        assert values == {"q": {"nDCG@10": 0.0, "MAP": 0.0, "MRR@10": 0.0}}


DOCUMENTS = st.sampled_from([*"abcdefghij", "doc 11", "é", "0"])


@settings(deadline=None, max_examples=15)
@given(
    qrels=st.dictionaries(
        st.sampled_from("pqr"),
        st.dictionaries(DOCUMENTS, st.integers(-1, 3), min_size=1),
        min_size=1,
    ),
    runs=st.dictionaries(
        st.sampled_from("pqr"),
        # Few different scores: most documents are tied.
        st.dictionaries(DOCUMENTS, st.sampled_from([0.0, 0.5, 1.0])),
    ),
    relevant_from=st.integers(1, 3),
)
def test_equal_to_pytrec_eval_once_ties_are_broken(qrels, runs, relevant_from):
    rankings = {
        query: [id for id, _, _ in ranked((id, score, None) for id, score in run.items())]
        for query, run in runs.items()
        if query in qrels
    }

    values = Scorer(qrels, ALL, relevant_from=relevant_from).score(rankings)

    expected = by_pytrec_eval(qrels, rankings, ALL, relevant_from)
    assert values.keys() == rankings.keys()
    for query in rankings:
        assert values[query] == pytest.approx(expected[query], abs=1e-6)


@pytest.mark.skipif(not SPLITS, reason="the shared collections are not beside the repository")
@pytest.mark.parametrize("path", SPLITS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_equal_to_pytrec_eval_on_a_real_collection(path):
    qrels: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        for query, document, grade in list(csv.reader(lines, delimiter="\t"))[1:500]:
            qrels.setdefault(query, {})[document] = int(grade)
    documents = sorted({document for grades in qrels.values() for document in grades})
    # Each query's judged documents among some of the others, in the order of a hash.
    rankings = {
        query: sorted(
            {*grades, *documents[place % 97 :: len(documents) // 20 + 1]},
            key=lambda document, query=query: hashlib.sha256(
                f"{query} {document}".encode()
            ).digest(),
        )
        for place, (query, grades) in enumerate(qrels.items())
    }
    measures = ["MAP", "MAP@100", "MRR@10", "nDCG@10", "R@100", "P@10", "Success@1", "Judged@10"]

    values = Scorer(qrels, measures).score(rankings)

    expected = by_pytrec_eval(qrels, rankings, measures)
    largest = max(
        abs(values[query][measure] - expected[query][measure])
        for query in rankings
        for measure in measures
    )
    assert largest < 1e-6


@pytest.mark.parametrize(
    ("depth", "deeper"),
    [(100, None), (50, "R@100"), (5, "nDCG@10, R@100, P@10"), (1, "nDCG@10, R@100, P@10")],
)
def test_measures_that_look_further_than_the_candidates_are_named(depth, deeper):
    measures = ["nDCG@10", "MAP", "R@100", "P@10", "Success@1"]
    found = cut_too_deep(measures, depth)
    if deeper is None:
        assert found == []
    else:
        [warning] = found
        assert f"too few for {deeper}: evaluate" in warning
