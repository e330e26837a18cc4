from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.reranking.cross_encoder import CrossEncoderReranker

lancedb = pytest.importorskip("lancedb", reason="needs the extra lancedb")
pa = pytest.importorskip("pyarrow", reason="needs the extra lancedb")
index = pytest.importorskip("lancedb.index", reason="needs the extra lancedb")

QUERY = "join two paths"
TEXTS = ["join a path", "two loaves of bread", None, "a path", "bread", "paths joined by two"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Any:
    schema = pa.schema([("text", pa.string()), ("vector", pa.list_(pa.float32(), 2))])
    rows = [{"text": text, "vector": [1.0, float(n)]} for n, text in enumerate(TEXTS)]
    made = lancedb.connect(tmp_path_factory.mktemp("lance")).create_table("t", rows, schema=schema)
    made.create_index("text", config=index.FTS())
    return made


@pytest.fixture(scope="module")
def scores(tiny_reranker: Path) -> dict[str | None, float]:
    """What the reranker itself gives."""
    found = CrossEncoderReranker(tiny_reranker).score([(QUERY, text or "") for text in TEXTS])
    return dict(zip(TEXTS, found.tolist(), strict=True))


def reranker(folder: Path, **arguments: Any) -> Any:
    from rerank_search.plugins.lancedb import RerankSearchReranker

    return RerankSearchReranker(folder, **arguments)


def searches(table: Any, model: Any) -> dict[str, Any]:
    vectors = table.search([1.0, 0.0], vector_column_name="vector")
    words = table.search(QUERY, query_type="fts", fts_columns="text")
    both = table.search(query_type="hybrid", vector_column_name="vector", fts_columns="text")
    return {
        "vectors": vectors.rerank(model, query_string=QUERY).limit(10),
        "words": words.rerank(model).limit(10),
        "both": both.vector([1.0, 0.0]).text(QUERY).rerank(model).limit(10),
    }


@pytest.mark.parametrize("kind", ["vectors", "words", "both"])
def test_results_are_in_the_rerankers_order_with_its_logits(
    kind: str, table: Any, tiny_reranker: Path, scores: dict[str | None, float]
) -> None:
    rows = searches(table, reranker(tiny_reranker))[kind].to_list()
    found = [row["text"] for row in rows]
    assert len(found) == (4 if kind == "words" else 6)
    assert found == sorted(found, key=lambda text: -scores[text])
    for row in rows:
        assert row["_relevance_score"] == pytest.approx(scores[row["text"]], abs=1e-5)
        assert not {"_distance", "_score", "_rowid"} & row.keys()


@pytest.mark.parametrize("kind", ["vectors", "words", "both"])
def test_the_scores_of_the_searches_stay_if_they_are_asked_for(
    kind: str, table: Any, tiny_reranker: Path
) -> None:
    plain = {
        "_distance": table.search([1.0, 0.0], vector_column_name="vector").limit(10),
        "_score": table.search(QUERY, query_type="fts", fts_columns="text").limit(10),
    }
    expected = {
        name: {row["text"]: row[name] for row in query.to_list()} for name, query in plain.items()
    }
    rows = searches(table, reranker(tiny_reranker, return_score="all"))[kind].to_list()
    for row in rows:
        for name in {"vectors": ["_distance"], "words": ["_score"], "both": expected}[kind]:
            assert row[name] == expected[name].get(row["text"])


def test_a_search_that_finds_nothing_loads_no_model(table: Any, tmp_path: Path) -> None:
    model = reranker(tmp_path / "no such model")
    for query in searches(table, model).values():
        assert query.where("text = 'nothing'").to_list() == []


def test_a_column_that_is_not_selected_is_named(table: Any, tiny_reranker: Path) -> None:
    query = searches(table, reranker(tiny_reranker))["words"].select(["vector", "_score"])
    with pytest.raises(InvalidInputError, match="no column 'text'"):
        query.to_list()


def test_a_query_is_also_an_object(table: Any, tiny_reranker: Path) -> None:
    from lancedb.query import MatchQuery

    rows = (
        table.search(MatchQuery(QUERY, "text"), query_type="fts")
        .rerank(reranker(tiny_reranker))
        .limit(2)
        .to_list()
    )
    assert len(rows) == 2


def test_invalid_arguments_are_refused(tiny_reranker: Path) -> None:
    with pytest.raises(InvalidInputError, match="return_score='best'"):
        reranker(tiny_reranker, return_score="best")
    with pytest.raises(InvalidInputError, match="column"):
        reranker(tiny_reranker, column=3)
    with pytest.raises(InvalidInputError):
        reranker(3)  # type: ignore[arg-type]
