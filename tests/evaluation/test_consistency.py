from __future__ import annotations

import pytest

from rerank_search.evaluation.consistency import cut_too_deep


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
        assert f"for each query, too few for {deeper}: evaluate" in warning
