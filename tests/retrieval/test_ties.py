import numpy as np

from rerank_search.retrieval.ties import complete, levelled


def of(*scores: float) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(len(scores), dtype=np.int64), np.array(scores, dtype=np.float32)


def test_cut_off_between_different_scores() -> None:
    best = levelled(*of(3.0, 2.0, 1.0), 2, exhausted=False)
    assert best is not None
    assert best.ids.tolist() == [0, 1]


def test_cut_off_never_splits_equal_scores() -> None:
    best = levelled(*of(3.0, 2.0, 2.0, 1.0), 2, exhausted=False)
    assert best is not None
    assert best.ids.tolist() == [0, 1, 2]


def test_asks_for_more_where_the_tie_may_go_on() -> None:
    assert levelled(*of(3.0, 2.0, 2.0), 2, exhausted=False) is None
    assert levelled(*of(3.0, 2.0, 2.0), 2, exhausted=True) is not None


def test_scores_that_differ_in_their_last_bits_are_equal() -> None:
    noisy = np.nextafter(np.float32(20.0), np.float32(0.0))
    best = levelled(*of(20.0, noisy, 10.0), 3, exhausted=True)
    assert best is not None
    assert best.scores.tolist() == [20.0, 20.0, 10.0]


def test_fetches_until_the_tie_is_complete() -> None:
    ids, scores = of(9.0, *[5.0] * 50, 1.0)
    limits = []

    def fetch(limit: int) -> tuple[np.ndarray, np.ndarray, bool]:
        limits.append(limit)
        return ids[:limit], scores[:limit], limit >= len(ids)

    assert len(complete(fetch, 3, 4).ids) == 51
    assert limits == [4, 16, 64]
