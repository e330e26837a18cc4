"""The bundled English models in other languages: what they do to BM25's rankings.

Usage: python eval/benchmarks/other_languages.py

Searches XQuAD in ../shared/data, with the analyzer multilingual. Writes
eval/results/other-languages.md. Takes an hour on 2 cores that do nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from report import table, write

from rerank_search.built_in_stages import BM25, DENSE, HYBRID
from rerank_search.corpora.definition import IndexSettings
from rerank_search.evaluation.measures import Scorer
from rerank_search.evaluation.protocols import reordered
from rerank_search.evaluation.results import StatisticsSettings
from rerank_search.evaluation.statistics import holm, p_value
from rerank_search.index import Index
from rerank_search.judged.candidates import Candidates, CandidateSource
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.corpus_index import open_corpus_index
from rerank_search.judged.loading import load_searched
from rerank_search.judged.second_stages import SecondStages
from rerank_search.judged.settings import CollectionSettings, RerankerSettings
from rerank_search.reranking.final_score import FinalScore
from rerank_search.reranking.fusion import Fusion
from rerank_search.reranking.hit_text import passage
from rerank_search.settings import Settings

XQUAD = Path(__file__).parents[3] / "shared" / "data"
CANDIDATES = 20
MEASURE = "nDCG@10"
TINY, BASE = "rerank-search-tiny", "rerank-search-base"
QUERIES = {TINY: 100, BASE: 50}
"""Questions of each language that a reranker is measured on."""

LANGUAGES = ("de", "ru", "zh", "ar", "th")
WITH_VECTORS = ("de", "ru", "zh")
"""Languages in which the default encoder is measured too."""

STATISTICS = StatisticsSettings()

Values = list[float]


def main() -> None:
    """Measure all languages, and write the tables."""
    cache = Settings().cache
    with closing(SecondStages(cache)) as stages:
        vectors = {language: of_vectors(language, cache, stages) for language in WITH_VECTORS}
        words = {
            model: {language: of_words(language, model, cache, stages) for language in LANGUAGES}
            for model in QUERIES
        }
    sections = {
        "Reranking what BM25 finds, in an index without vectors": (
            f"{MEASURE} of BM25's {CANDIDATES} candidates, as BM25 ranks them and reranked, for "
            "questions of XQuAD. Logit: by the reranker alone (`fusion=None`). Fused: with the "
            f"reranker's own fusion, as searches do by default. {_TESTS}"
            + "\n\n".join(
                f"{model}, {QUERIES[model]} questions in each language:\n\n{shown(found)}"
                for model, found in words.items()
            )
        ),
        "With vectors of the default encoder": (
            f"The same index with vectors of all-MiniLM-L6-v2, and {TINY}, {QUERIES[TINY]} "
            "questions in each language. With cosine: the fusion weighs the cosine too, as in an "
            "index of English documents, and as in other languages until now. Without: the cosine "
            "is left out, as in an index whose documents are mostly not English, which then has "
            f"BM25 as its default first stage. {_TESTS}{shown(vectors)}"
        ),
    }
    means = {
        "words": {model: _means(found) for model, found in words.items()},
        "vectors": _means(vectors),
    }
    title = "The bundled models in other languages"
    command = "python eval/benchmarks/other_languages.py"
    print(write("other-languages", title, command, sections, means))


_TESTS = (
    "In brackets the difference from BM25 alone, and p of a paired randomisation test, corrected "
    "by Holm's method for all tests of a table.\n\n"
)


def of_words(language: str, model: str, cache: Path, stages: SecondStages) -> dict[str, Values]:
    """The figures of each system on an index without vectors."""
    without = IndexSettings(encoder=False)
    with searched(language, QUERIES[model], without, cache) as (collection, index):
        candidates = of_stage(collection, index, BM25)
        logits = logits_of(collection, candidates, model, stages)
        fused = FinalScore(fusion_of(model, stages), [BM25])
        return {
            "BM25": figures(collection, candidates),
            "logit": figures(collection, candidates, logits, FinalScore(None, [BM25])),
            "fused": figures(collection, candidates, logits, fused),
        }


def of_vectors(language: str, cache: Path, stages: SecondStages) -> dict[str, Values]:
    """The figures of each system on an index with vectors of the default encoder."""
    fusion = fusion_of(TINY, stages)
    with searched(language, QUERIES[TINY], IndexSettings(), cache) as (collection, index):
        of_name = {name: of_stage(collection, index, name) for name in (BM25, DENSE, HYBRID)}
        found: dict[str, Values] = {name: figures(collection, of_name[name]) for name in of_name}
        for name in (BM25, HYBRID):
            logits = logits_of(collection, of_name[name], TINY, stages)
            for what, fused in (("with cosine", [BM25, DENSE]), ("without", [BM25])):
                final = FinalScore(fusion, fused)
                values = figures(collection, of_name[name], logits, final)
                found[f"{name}, fused {what}"] = values
        return found


@contextmanager
def searched(
    language: str, queries: int, settings: IndexSettings, cache: Path
) -> Iterator[tuple[JudgedCollection, Index]]:
    """XQuAD in a language, and its index, which is closed afterwards."""
    path = XQUAD / f"xquad-{language}"
    collection = load_searched(CollectionSettings(path=path, queries=queries))
    assert collection.documents is not None
    settings = settings.model_copy(update={"analyzer": "multilingual"})
    index, _ = open_corpus_index(collection.name, collection.documents, settings, cache / "indexes")
    with index:
        yield collection, index


def of_stage(collection: JudgedCollection, index: Index, name: str) -> list[Candidates]:
    """A first stage's candidates of every query, with the scores of all stages."""
    source = CandidateSource(collection, index, name, CANDIDATES, reranked=True, with_scores=True)
    return list(source.candidates(list(collection.qrels)))


def fusion_of(model: str, stages: SecondStages) -> Fusion | None:
    """The fusion of a bundled reranker."""
    return stages.get(RerankerSettings(model=model)).fusion


def logits_of(
    collection: JudgedCollection,
    candidates: Sequence[Candidates],
    model: str,
    stages: SecondStages,
) -> list[dict[str, float]]:
    """The logits of each query's candidates by document id."""
    pairs = [
        (collection.queries[one.query], passage(hit)) for one in candidates for hit in one.retrieved
    ]
    print(f"{collection.name}: {model} scores {len(pairs):,} pairs", flush=True)
    scores = stages.get(RerankerSettings(model=model)).cache.scored(pairs)
    values = iter(scores.values.tolist())
    return [{hit.id: next(values) for hit in one.retrieved} for one in candidates]


def figures(
    collection: JudgedCollection,
    candidates: Sequence[Candidates],
    logits: Sequence[Mapping[str, float]] | None = None,
    final: FinalScore | None = None,
) -> Values:
    """The measure of each query, as retrieved or by the final score."""
    rankings = {}
    for place, one in enumerate(candidates):
        if logits is None or final is None:
            rankings[one.query] = [hit.id for hit in one.retrieved]
        else:
            ordered = reordered(one.retrieved, logits[place], final)
            rankings[one.query] = [id for id, _ in ordered]
    scored = Scorer(collection.qrels, [MEASURE]).score(rankings)
    return [scored[query][MEASURE] for query in rankings]


def shown(found: Mapping[str, Mapping[str, Values]]) -> str:
    """A table with a row for each language: means, and how they differ from the first system's."""
    tests = [
        p_value(values, first, STATISTICS)
        for first, *others in (systems.values() for systems in found.values())
        for values in others
    ]
    corrected = iter(holm(tests))
    lines = []
    for language, systems in found.items():
        first, *others = systems.values()
        line = [language, f"{mean(first):.3f}"]
        for values in others:
            p = next(corrected)
            tested = "p < .001" if p < 0.001 else f"p = {p:.3f}"
            line.append(f"{mean(values):.3f} ({mean(values) - mean(first):+.3f}, {tested})")
        lines.append(line)
    return table(["language", *next(iter(found.values()))], lines)


def mean(values: Values) -> float:
    """The mean over queries."""
    return sum(values) / len(values)


def _means(found: Mapping[str, Mapping[str, Values]]) -> dict[str, Any]:
    return {
        language: {name: mean(values) for name, values in systems.items()}
        for language, systems in found.items()
    }


if __name__ == "__main__":
    main()
