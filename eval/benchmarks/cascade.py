"""How many texts a cascade's small reranker should keep for the large one.

Usage: python eval/benchmarks/cascade.py [--queries N]

Writes eval/results/cascade.md and .json: nDCG@10 of the large reranker alone over BM25's best 100,
and the loss if it reads only the best of these by the small one. Data are the judged questions on
the documentation of the standard library, and the collections beside the project.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from early_exit import kept
from report import table, write
from rerank import CANDIDATES, MODEL, OWN, SHARED, TINY, Task, quality, with_candidates

from rerank_search import CrossEncoderReranker
from rerank_search.judged.settings import CollectionSettings

KEEP = (10, 15, 20, 25, 30, 40, 50)
SPLITS = {
    "wikiqa": "dev",
    "squad-sentences": "dev",
    "doctor-answers": "dev",
    "checked-claims": "dev",
    "climate-claims": "dev",
}
"""Development splits of the collections beside the project; msmarco-dl19 is for testing."""


def losses(settings: CollectionSettings, models: Sequence[CrossEncoderReranker]) -> list[float]:
    """The number of queries, nDCG@10 of the small and of the large one, and each KEEP's change."""
    collection, names, task = with_candidates(settings, CANDIDATES)
    small, large = (model.score(task.pairs).tolist() for model in models)

    def worth(scores: Sequence[float]) -> float:
        return quality(collection, names, task, scores)

    whole = worth(large)
    return [
        len(names),
        worth(small),
        whole,
        *(worth(kept_by(task, small, large, n)) - whole for n in KEEP),
    ]


def kept_by(task: Task, small: Sequence[float], large: Sequence[float], keep: int) -> list[float]:
    """The cascade's scores."""
    return [score for own, _ in kept(task, small, large, keep) for score in own]


def main() -> None:
    """Score, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--queries", type=int, default=40, help="sample this many of each collection"
    )
    count = parser.parse_args().queries
    models = [
        CrossEncoderReranker(name, device="cpu", backend="torch", dtype="float32")
        for name in (TINY, MODEL)
    ]
    data = SHARED.parent
    chosen_by = [CollectionSettings(path=OWN, queries=count)]
    chosen_by += [
        CollectionSettings(path=data / name, split=split, queries=count)
        for name, split in SPLITS.items()
        if (data / name).is_dir()
    ]
    found = {settings.path.name: losses(settings, models) for settings in chosen_by}
    mean = np.mean([own[1:] for own in found.values()], axis=0).tolist()
    found["their mean"] = [sum(own[0] for own in found.values()), *mean]
    if SHARED.is_dir():
        found[SHARED.name] = losses(CollectionSettings(path=SHARED), models)
    rows = [
        [name, str(queries), f"{small:.3f}", f"{large:.3f}", *(f"{each:+.4f}" for each in changes)]
        for name, (queries, small, large, *changes) in found.items()
    ]
    headers = ["collection", "queries", TINY, MODEL, *(f"keep {n}" for n in KEEP)]
    sections = {
        "What is measured": (
            f"nDCG@10 of both rerankers over BM25's best {CANDIDATES}, by their logits alone, and "
            f"the change if {MODEL} reads only the best of these by {TINY}, in float32. The number "
            f"to keep is chosen by the mean, without {SHARED.name}, on which the cascade is tested."
        ),
        "Results": table(headers, rows),
    }
    command = "python eval/benchmarks/cascade.py"
    print(write("cascade", "What a cascade keeps", command, sections, found))


if __name__ == "__main__":
    main()
