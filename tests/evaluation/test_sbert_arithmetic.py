"""The arithmetic of sentence-transformers' figures, against scikit-learn's functions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_search.evaluation.sbert import sbert_negative_values

metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn comes with the extra train")

Scored = st.lists(
    st.tuples(
        st.booleans(),
        st.one_of(
            st.sampled_from([0.0, -0.0, 0.5, 1.0]),
            st.floats(-1e6, 1e6, width=32),
        ),
    ),
    min_size=2,
    max_size=120,
).filter(lambda pairs: any(relevant for relevant, _ in pairs))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(scored=Scored, at_k=st.integers(1, 130))
def test_equal_to_scikit_learn_to_the_last_bit(scored: list[tuple[bool, float]], at_k: int) -> None:
    # The positives come first, then the others.
    scored = sorted(scored, key=lambda pair: not pair[0])
    texts = [f"{place}" for place in range(len(scored))]
    relevant = [int(each) for each, _ in scored]
    predicted = np.array([score for _, score in scored], dtype=np.float32)
    positives = sum(relevant)

    values = sbert_negative_values(
        texts[:positives],
        texts[positives:],
        dict(zip(texts, predicted.tolist(), strict=True)),
        at_k=at_k,
    )

    assert values["map"] == metrics.average_precision_score(relevant, predicted)
    assert values[f"ndcg@{at_k}"] == metrics.ndcg_score([relevant], [predicted], k=at_k)
