"""Training data that are also in the evaluation or the calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection, LabelledPairs
from rerank_search.judged.findings import Finding, Tally, findings
from rerank_search.training.data.groups import Group, TrainingSet
from rerank_search.training.data.places import place_of
from rerank_search.training.data.texts import letters_and_digits
from rerank_search.training.recipe.recipe import Leaks

_LONG = 100
"""Number of letters and digits above which one text does not contain another by chance."""


def without_leaks(
    sets: Sequence[TrainingSet],
    evaluations: Sequence[JudgedCollection | LabelledPairs],
    policy: Leaks,
) -> tuple[list[TrainingSet], list[Finding]]:
    """The sets, and findings about leaks, which ``policy`` "remove" removes from the sets.

    A leak is a training query that is judged in a collection of the evaluation, or a training pair
    that is among its labelled pairs, in either order. Shared documents alone are normal and not a
    leak, and so are shared first texts of labelled pairs. Texts are compared by their letters and
    digits. A long text also matches a text that contains it, because of long documents only
    passages are mined.

    Raises InvalidInputError with the first leak if ``policy`` is "refuse".
    """
    queries: dict[str, str] = {}
    pairs: dict[str, dict[str, str]] = {}
    for evaluation in evaluations:
        if isinstance(evaluation, JudgedCollection):
            queries |= _judged(evaluation)
        else:
            _add_labelled(pairs, evaluation)
    done = {"remove": ", removed", "allow": ", left in", "refuse": ""}[policy]
    of_queries = Tally(f"training queries that are also in the evaluation{done}")
    of_pairs = Tally(f"training pairs that are also in the evaluation{done}")
    kept = []
    for each in sets:
        groups: list[Group] = []
        for i, group in enumerate(each.groups):
            query = letters_and_digits(group.query)
            if query in queries:
                of_queries.add(f"{place_of(each, i)}, which is also {queries[query]}")
                continue
            leaked = set()
            for j, document in enumerate(group.documents if query in pairs else ()):
                also = _same_or_around(letters_and_digits(document), pairs[query])
                if also is not None:
                    of_pairs.add(f"{place_of(each, i, j)}, which is also {also}")
                    leaked.add(j)
            groups.append(_without(group, leaked))
        kept.append(replace(each, groups=groups))
    found = findings([of_queries, of_pairs])
    if found and policy == "refuse":
        raise InvalidInputError(
            f"{'; '.join(map(str, found))}: the model would look better than it is. Set leaks to "
            '"remove", or to "allow" to train anyway'
        )
    if policy != "remove":
        return list(sets), found
    for each, left in zip(sets, kept, strict=True):
        if each.groups and not any(group.documents for group in left.groups):
            raise InvalidInputError(
                f"everything in {each} is also in the evaluation ({'; '.join(map(str, found))}): "
                "choose another split, or remove the source"
            )
    return kept, found


def _without(group: Group, places: set[int]) -> Group:
    """The group without the documents at these places."""
    if not places:
        return group
    left = [i for i in range(len(group.documents)) if i not in places]
    return Group(
        group.query,
        [group.documents[i] for i in left],
        [group.labels[i] for i in left],
        [group.places[i] for i in left] if group.places else (),
    )


def _judged(collection: JudgedCollection) -> dict[str, str]:
    return {
        letters_and_digits(collection.queries[id]): f"{collection.name}/{collection.split}, "
        f"query {id!r}"
        for id in collection.qrels
        if id in collection.queries
    }


def _add_labelled(known: dict[str, dict[str, str]], pairs: LabelledPairs) -> None:
    """Add the pairs: for each text its partners, and their places."""
    for i, pair in enumerate(pairs.pairs, start=1):
        one, other = map(letters_and_digits, pair)
        place = f"{pairs.name}/{pairs.split}, pair {i}"
        known.setdefault(one, {})[other] = place
        known.setdefault(other, {})[one] = place


def _same_or_around(text: str, known: Mapping[str, str]) -> str | None:
    """The place of the text, or for a long text of one that contains it; None if unknown."""
    if text in known or len(text) < _LONG:
        return known.get(text)
    return next((place for other, place in known.items() if text in other), None)
