from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import InvalidInputError, ModelNotFoundError, StorageFullError
from rerank_search.judged.corpus_index import open_corpus_index
from rerank_search.judged.formats.beir import load_beir
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.searcher import Searcher
from rerank_search.training.data.groups import TrainingSet
from rerank_search.training.data.mining import mined_set
from rerank_search.training.data.samples import load_samples_set
from rerank_search.training.recipe.sources import Negatives, SoftLabels, Source
from rerank_search.types import Hit

LONG = "The king of the village is old. " * 12 + "The queen is in the garden."


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Indexes and scores of all tests here; every test has its own files of groups."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def mine(collection: Path, tiny_encoder: Path, cache: Path, tmp_path: Path):
    """Mines the collection of colours, or another; lines() returns the written lines."""

    class Mine:
        file = tmp_path / "colours-train.jsonl"

        def __call__(
            self,
            folder: Path = collection,
            *,
            seed: int = 1,
            soft_labels: SoftLabels | None = None,
            cache: Path = cache,
            source: dict | None = None,
            **negatives: object,
        ) -> TrainingSet:
            defaults = {"encoder": str(tiny_encoder), "ranks": (1, 4), "per_query": 3, "random": 1}
            return mined_set(
                Source(collection=folder, **(source or {})),
                Negatives.model_validate(defaults | negatives),
                soft_labels,
                seed=seed,
                file=self.file,
                cache=cache,
            )

        def lines(self) -> list[dict]:
            return [json.loads(line) for line in self.file.read_text().splitlines()[1:]]

    return Mine()


@pytest.fixture
def index(collection: Path, tiny_encoder: Path, cache: Path):
    """The index of the collection of colours, as in an evaluation."""
    opened, _ = opened_index(collection, tiny_encoder, cache)
    with opened:
        yield opened


def opened_index(folder: Path, encoder: Path, cache: Path):
    read = load_beir(folder, "train")
    settings = IndexSettings(encoder=str(encoder))
    return open_corpus_index(read.name, read.documents, settings, cache / "indexes")


def written(
    folder: Path,
    documents: dict[str, str],
    queries: dict[str, str],
    judgements: list[tuple[str, str]],
) -> Path:
    """A BEIR folder in which all judged documents are relevant."""
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", documents), ("queries", queries)):
        rows = [json.dumps({"_id": id, "text": text}) for id, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("".join(row + "\n" for row in rows))
    rows = ["query-id\tcorpus-id\tscore", *(f"{q}\t{d}\t1" for q, d in judgements)]
    (folder / "qrels" / "train.tsv").write_text("\n".join(rows) + "\n")
    return folder


def stage_scores(index, query: str, ids: list[str]) -> list[dict[str, float]]:
    [hits] = index.stage_scores([query], [[Hit(id, 0.0, 0) for id in ids]])
    return [hit.stage_scores for hit in hits]


def texts_of(folder: Path) -> dict[str, str]:
    """Document id to the text that a reranker sees."""
    documents = load_beir(folder, "train").documents
    assert documents is not None
    return {each.id: f"{each.title}\n{each.text}" for each in documents()}


def test_each_group_has_a_relevant_document_and_negatives_that_are_not(
    mine, collection: Path
) -> None:
    known, documents = load_beir(collection, "train"), texts_of(collection)
    groups = mine().groups
    assert sorted(group.query for group in groups) == sorted(
        known.queries[query] for query in known.qrels
    )
    for group, line in zip(groups, mine.lines(), strict=True):
        relevant = {d for d, grade in known.qrels[line["query_id"]].items() if grade > 0}
        assert line["ids"][0] in relevant
        assert not relevant & set(line["ids"][1:])
        assert [documents[id] for id in line["ids"]] == list(group.documents)
        assert len(set(group.documents)) == len(group.documents) == 4
        assert group.labels == [1.0, 0.0, 0.0, 0.0]


def test_the_same_seed_gives_the_same_file_byte_for_byte(mine, tmp_path: Path) -> None:
    mine(soft_labels=SoftLabels(), source={"made_up": 3})
    first = mine.file.read_bytes()
    mine.file.unlink()
    mine(soft_labels=SoftLabels(), source={"made_up": 3}, cache=tmp_path / "another")
    assert mine.file.read_bytes() == first
    mine(soft_labels=SoftLabels(), source={"made_up": 3}, seed=2)
    assert [line["ids"] for line in mine.lines()] != [
        json.loads(line)["ids"] for line in first.splitlines()[1:]
    ]


def test_a_query_has_the_same_negatives_however_many_are_drawn(mine) -> None:
    mine()
    everything = {line["query_id"]: line for line in mine.lines()}
    assert len(mine(source={"queries": 5}).groups) == 5
    assert all(line == everything[line["query_id"]] for line in mine.lines())


@pytest.mark.parametrize("stage", ["bm25", "dense", "hybrid"])
def test_negatives_are_taken_from_the_ranks_that_a_search_sees(mine, index, stage: str) -> None:
    mine(first_stages=[stage], ranks=(2, 4), random=0, sampling="top")
    for line in mine.lines():
        [hits] = index.retriever(stage).retrieve([line["query"]], 10)
        ranked = [hit.id for hit in hits if hit.id not in line["ids"][:1]]
        assert line["ids"][1:] == ranked[1:4]


def test_the_best_of_two_stages_take_turns_and_none_comes_twice(mine, index) -> None:
    mine(ranks=(1, 3), per_query=6, random=0, sampling="top")
    for line in mine.lines():
        turns: list[str] = []
        rankings = [
            [hit.id for hit in hits if hit.id != line["ids"][0]][:3]
            for stage in ("bm25", "dense")
            for hits in index.retriever(stage).retrieve([line["query"]], 4)
        ]
        for place in range(3):
            turns += [ranking[place] for ranking in rankings if place < len(ranking)]
        assert line["ids"][1:] == list(dict.fromkeys(turns))


def test_random_negatives_come_from_the_whole_collection(mine) -> None:
    mine(first_stages=["bm25"], ranks=(1, 1), per_query=10, random=10)
    found = Counter(id for line in mine.lines() for id in line["ids"][1:])
    assert len(found) == 20
    assert all(len(line["ids"]) == 11 for line in mine.lines())


def test_a_margin_keeps_negatives_below_the_best_positive(mine, index) -> None:
    def too_near() -> int:
        count = 0
        for line in mine.lines():
            positive, *negatives = (
                scores["dense"] for scores in stage_scores(index, line["query"], line["ids"])
            )
            count += sum(score > positive - 0.01 for score in negatives)
        return count

    options = {"first_stages": ["dense"], "ranks": (1, 20), "random": 0, "per_query": 5}
    mine(**options)
    assert too_near() > 0
    mine(**options, margin=0.01)
    assert mine.lines()
    assert too_near() == 0


def test_a_stage_that_missed_the_positive_sets_no_margin(mine, tmp_path: Path) -> None:
    documents = {"answer": "snow"} | {f"d{i}": f"the red river {i}" for i in range(8)}
    folder = written(tmp_path / "missed", documents, {"q": "red river"}, [("q", "answer")])
    options = {"first_stages": ["hybrid"], "ranks": (1, 3), "random": 0}
    assert len(mine(folder, **options, margin=0.0).groups[0].documents) == 4


def test_each_positive_of_a_query_has_its_own_negatives(
    mine, index, collection: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "more"
    shutil.copytree(collection, copy)
    with (copy / "qrels" / "train.tsv").open("a") as rows:
        rows.write("q3\td4\t2\nq3\td5\t1\n")

    mine(copy, positives_per_query=None)
    [line] = [line for line in mine.lines() if line["query_id"] == "q3"]
    assert sorted(line["ids"][:3]) == ["d3", "d4", "d5"]
    assert len(line["positive"]) == 3
    assert 3 < len(line["negative"]) <= 9
    assert len(set(line["ids"])) == len(line["ids"])

    mine(copy, positives_per_query=2)
    [line] = [line for line in mine.lines() if line["query_id"] == "q3"]
    assert (len(line["positive"]), len(line["negative"])) == (2, 6)
    assert not {"d3", "d4", "d5"} & set(line["ids"][2:])


@pytest.mark.slow
def test_candidates_that_a_reranker_takes_for_relevant_are_replaced_by_others(
    mine, tiny_reranker: Path
) -> None:
    reranker = CrossEncoderReranker(tiny_reranker, device="cpu")

    def above() -> list[bool]:
        found = []
        for line in mine.lines():
            texts = line["positive"] + line["negative"]
            positive, *negatives = reranker.score([(line["query"], text) for text in texts])
            found += [bool(logit > positive + 0.001) for logit in negatives]
        return found

    options = {"ranks": (1, 20), "per_query": 4, "random": 1}
    mine(**options)
    assert any(above())
    found = mine(**options, false_negatives={"reranker": str(tiny_reranker)})
    assert len(mine.lines()) > 0
    assert not any(above())
    # Most queries have as many negatives as without the filter: others replaced the filtered ones.
    assert Counter(len(group.documents) for group in found.groups).most_common(1)[0][0] == 5
    [finding] = [each for each in found.findings if "considers relevant" in each.what]
    assert finding.count > 0


def test_a_margin_of_false_negatives_is_in_logits(mine, tiny_reranker: Path) -> None:
    reranker = CrossEncoderReranker(tiny_reranker, device="cpu")
    false_negatives = {"reranker": str(tiny_reranker), "margin": 0.05}
    mine(ranks=(1, 20), false_negatives=false_negatives)
    for line in mine.lines():
        texts = line["positive"] + line["negative"]
        positive, *negatives = reranker.score([(line["query"], text) for text in texts])
        assert max(negatives) <= positive - 0.05 + 0.001


def test_a_near_copy_of_a_relevant_document_is_no_negative(mine, tmp_path: Path) -> None:
    documents = {
        "right": "The river, by the old bridge!",
        "copy": "the RIVER by the old bridge",
        "other": "the river by the new bridge",
        "sea": "a boat on the sea",
    }
    folder = written(tmp_path / "copies", documents, {"q": "river bridge"}, [("q", "right")])
    mine(folder, ranks=(1, 10), per_query=9, random=3)
    [line] = mine.lines()
    assert line["ids"][0] == "right"
    assert sorted(line["ids"][1:]) == ["other", "sea"]


def test_what_answers_a_query_of_the_same_text_is_no_negative(mine, tmp_path: Path) -> None:
    documents = {"a": "the river is long", "b": "the river is short", "c": "the river is new"}
    queries = {"q1": "which river", "q2": "Which river?"}
    folder = written(tmp_path / "twice", documents, queries, [("q1", "a"), ("q2", "b")])
    mine(folder, ranks=(1, 10), per_query=9, random=3)
    assert [line["ids"] for line in mine.lines()] == [["a", "c"], ["b", "c"]]


def test_texts_are_those_that_a_search_gives_to_the_reranker(
    mine, tiny_encoder: Path, cache: Path, tmp_path: Path
) -> None:
    class Recording:
        name = "recording"

        def __init__(self) -> None:
            self.texts: list[str] = []

        def score(self, pairs):
            self.texts += [text for _, text in pairs]
            return np.zeros(len(pairs), np.float32)

    documents = {"long": LONG, "sea": "a boat on the sea", "king": "the king of the city"}
    queries = {"q1": "the queen in the garden", "q2": "the boat of the queen in the garden"}
    folder = written(tmp_path / "long", documents, queries, [("q1", "long"), ("q2", "sea")])
    mine(folder, first_stages=["dense"], random=0)
    opened, _ = opened_index(folder, tiny_encoder, cache)
    with opened as index:
        for line in mine.lines():
            reranker = Recording()
            Searcher(index, reranker=reranker).search(line["query"], first_stage="dense")
            mined = line["positive"] + line["negative"]
            assert sorted(mined) == sorted(reranker.texts)
            [passage] = [text for text in mined if "queen" in text]
            assert len(passage) < len(LONG)


def test_made_up_queries_come_last_and_are_cut_out_of_their_documents(
    mine, collection: Path
) -> None:
    found = mine(source={"queries": 3, "made_up": 5})
    texts = texts_of(collection)
    assert (len(found.groups), found.made_up) == (8, 5)
    for line in mine.lines()[3:]:
        [rest] = line["positive"]
        assert line["query"] in texts[line["ids"][0]]
        assert line["query"] not in rest
        assert "Snow fell." in rest
        assert line["negative"]


def test_a_query_is_made_up_of_the_passage_that_it_is_then_trained_with(
    mine, tmp_path: Path
) -> None:
    nouns = ["bird", "river", "mountain", "sea", "boat", "harbour", "bridge", "tower", "apple"]
    long = " ".join(f"The {noun} is in the old {noun} of the city." for noun in nouns)
    documents = {"long": long, "sea": "a boat on the sea"}
    folder = written(tmp_path / "long", documents, {"q": "boat"}, [("q", "sea")])
    mine(folder, source={"queries": 0, "made_up": 1})
    [line] = mine.lines()
    assert line["query"] in long
    assert line["query"] not in line["positive"][0]
    assert 0 < line["positive"][0].count(".") < long.count(".") - 1


def test_fewer_made_up_queries_than_asked_for_are_counted(mine) -> None:
    found = mine(source={"queries": 1, "made_up": 50})
    assert found.made_up == 20
    assert any("20 queries could be made up, of 50" in str(one) for one in found.findings)


def test_a_made_up_query_that_is_all_of_its_passage_is_left_out(mine, tmp_path: Path) -> None:
    documents = {"long": LONG, "sea": "a boat on the sea"}
    folder = written(tmp_path / "long", documents, {"q": "boat"}, [("q", "sea")])
    found = mine(folder, source={"made_up": 1}, per_query=1, random=1)
    assert (len(found.groups), found.made_up) == (1, 0)
    [finding] = found.findings
    assert "not in their document's best passage" in finding.what


def test_soft_labels_are_weighted_sums_of_stages_gold_and_teachers(
    mine, index, tiny_reranker: Path
) -> None:
    teacher = {"reranker": str(tiny_reranker), "weight": 0.5}
    soft_labels = SoftLabels(cosine=2.0, bm25=0.3, gold=5.0, rerankers=[teacher, teacher])
    found = mine(soft_labels=soft_labels)
    reranker = CrossEncoderReranker(tiny_reranker, device="cpu")
    for line, group in zip(mine.lines(), found.groups, strict=True):
        scores = stage_scores(index, line["query"], line["ids"])
        logits = reranker.score([(line["query"], text) for text in group.documents])
        expected = [
            2.0 * score["dense"] + 0.3 * score["bm25"] + 5.0 * (place == 0) + logit
            for place, (score, logit) in enumerate(zip(scores, logits, strict=True))
        ]
        np.testing.assert_allclose(group.labels, expected, atol=0.001)
        assert line["labels"] == list(group.labels)


def test_a_file_of_the_same_settings_is_read_and_of_others_mined_anew(mine) -> None:
    first = mine()
    content = mine.file.read_text()
    mine.file.write_text(content.replace("which river", "who reads this"))
    again = mine()
    assert again.groups[0].query == "who reads this is red"
    assert again.findings == first.findings
    assert mine(seed=2).groups[0].query == "which river is red"
    mine.file.write_text(content.replace("which river", "who reads this"))
    assert mine(per_query=2).groups[0].query == "which river is red"


def test_a_file_is_mined_anew_when_a_judgement_changes(
    mine, collection: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "colours"
    shutil.copytree(collection, copy)
    mine(copy)
    negative = mine.lines()[3]["ids"][1]
    with (copy / "qrels" / "train.tsv").open("a") as rows:
        rows.write(f"q3\t{negative}\t1\n")
    mine(copy)
    line = mine.lines()[3]
    assert line["query_id"] == "q3"
    assert negative not in line["ids"][1:]
    assert json.loads(mine.file.read_text().splitlines()[0])["settings"]["groups"] == 20


@pytest.mark.parametrize("damage", ["", "[broken\n", '{"settings": {}}\n', "cut off"])
def test_a_damaged_file_is_mined_anew(mine, damage: str) -> None:
    mine()
    whole = mine.file.read_text()
    cut = "".join(whole.splitlines(keepends=True)[:-1])
    mine.file.write_text(cut if damage == "cut off" else damage)
    assert len(mine().groups) == 20
    assert mine.file.read_text() == whole


def test_the_file_is_one_of_samples(mine) -> None:
    for soft_labels in (None, SoftLabels()):
        mined = mine(soft_labels=soft_labels)
        read = load_samples_set(Source(samples=mine.file), 1)
        assert [(one.query, one.documents, one.labels) for one in read.groups] == [
            (one.query, one.documents, one.labels) for one in mined.groups
        ]


def test_another_split_is_mined_only_if_it_is_named(mine, collection: Path, tmp_path: Path) -> None:
    copy = tmp_path / "colours"
    shutil.copytree(collection, copy)
    (copy / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    assert len(mine(copy).groups) == 20
    assert [group.query for group in mine(copy, source={"split": "dev"}).groups] == [
        "which bridge is red"
    ]
    (copy / "qrels" / "train.tsv").unlink()
    with pytest.raises(InvalidInputError, match="no split 'train': it has dev"):
        mine(copy)


def test_a_query_that_no_negative_is_left_for_is_left_out_and_counted(mine, tmp_path: Path) -> None:
    documents = {"a": "the red river", "b": "the long river"}
    queries = {"q1": "river", "q2": "red river"}
    judgements = [("q1", "a"), ("q1", "b"), ("q2", "a")]
    folder = written(tmp_path / "few", documents, queries, judgements)
    found = mine(folder)
    assert [group.query for group in found.groups] == ["red river"]
    none_left, too_few = found.findings
    assert (none_left.count, none_left.first) == (1, "query 'q1'")
    assert "without any negative left" in none_left.what
    assert (too_few.count, too_few.first) == (1, "1 of 3 for query 'q2'")
    assert "fewer negatives" in too_few.what

    shutil.rmtree(folder)
    written(folder, documents, queries, judgements[:2])
    mine.file.unlink()
    with pytest.raises(InvalidInputError, match=r"nothing to train on.*without any negative left"):
        mine(folder)
    assert not mine.file.exists()


def test_what_is_left_out_of_the_judgements_is_counted(mine, tmp_path: Path) -> None:
    folder = written(
        tmp_path / "gaps",
        {"a": "the red river", "b": "the long river"},
        {"q1": "river", "q2": "red river"},
        [("q1", "a"), ("q1", "gone"), ("q2", "lost"), ("q3", "b")],
    )
    mined = mine(folder, per_query=1, random=0)
    found = {one.what: one for one in mined.findings}
    assert [group.query for group in mined.groups] == ["river"]
    assert {what: one.count for what, one in found.items()} == {
        "judged queries without a text, left out": 1,
        "relevant documents that are not in the corpus, left out": 2,
        "judged queries without a relevant document in the corpus, left out": 1,
    }
    missing = found["relevant documents that are not in the corpus, left out"]
    assert missing.first == "qrels/train.tsv, line 3: document 'gone' for query 'q1'"


def test_no_queries_at_all_are_an_error(mine) -> None:
    with pytest.raises(InvalidInputError, match="nothing to train on in the split 'train'"):
        mine(source={"queries": 0})


@pytest.mark.parametrize(
    "options",
    [
        {"false_negatives": {"reranker": "nowhere/model"}},
        {"soft_labels": SoftLabels(rerankers=[{"reranker": "nowhere/model"}])},
        {"encoder": "nowhere/model"},
    ],
)
def test_a_missing_model_is_missed_before_anything_is_computed(
    mine, tmp_path: Path, options: dict
) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere/model"):
        mine(cache=tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_an_empty_corpus_is_refused(mine, tmp_path: Path) -> None:
    folder = written(tmp_path / "empty", {}, {"q": "river"}, [("q", "a")])
    with pytest.raises(InvalidInputError, match="no documents"):
        mine(folder)


def test_progress_counts_every_query(
    collection: Path, tiny_encoder: Path, cache: Path, tmp_path: Path
) -> None:
    counted: dict[str, list[float]] = {}

    @contextmanager
    def progress(description: str, total: float):
        counted[description] = [total, 0]
        yield lambda steps: counted[description].__setitem__(1, counted[description][1] + steps)

    mined_set(
        Source(collection=collection, made_up=2),
        Negatives(encoder=str(tiny_encoder)),
        None,
        seed=1,
        file=tmp_path / "mined.jsonl",
        cache=cache,
        progress=progress,
    )
    assert counted["mining colours"] == [22, 22]


@contextmanager
def full_disk():
    """A context in which no file can grow beyond 4,096 bytes."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_is_full_leaves_the_old_file(mine, index) -> None:
    # Keep the index open, so that opening it again writes nothing.
    mine.file.write_text("old")
    message = re.escape(f"no space is left on the disk for {mine.file}")
    with full_disk(), pytest.raises(StorageFullError, match=message):
        mine()
    assert mine.file.read_text() == "old"
    assert list(mine.file.parent.iterdir()) == [mine.file]


def mined_pairs(path: Path, encoder: Path, cache: Path, **source: object) -> TrainingSet:
    return mined_set(
        Source(pairs=path, mined=True, **source),
        Negatives(encoder=str(encoder), per_query=3, random=0),
        SoftLabels(cosine=20.0, bm25=1.0, gold=100.0),
        seed=1,
        file=path.with_suffix(".mined.jsonl"),
        cache=cache,
    )


def test_pairs_without_wrong_ones_are_mined(
    tiny_encoder: Path, cache: Path, tmp_path: Path
) -> None:
    nouns = ["bird", "river", "mountain", "sea", "boat"]
    answers = {f"where is the {noun}": f"The {noun} is in the village." for noun in nouns}
    lines = [{"text1": q, "text2": a, "label": "yes"} for q, a in answers.items()]
    lines += [
        {"text1": "where is the sea", "text2": "It is by the harbour.", "label": "yes"},
        {"text1": "where is the king", "text2": "A king is old.", "label": "no"},
        {"text1": "where is the queen", "text2": " ", "label": "yes"},
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = mined_pairs(path, tiny_encoder, cache, label_map={"yes": 1.0, "no": 0.0})
    assert [group.query for group in found.groups] == list(answers)
    texts = {line["text2"] for line in lines} - {" "}
    for group in found.groups:
        best, *negatives = group.documents
        relevant = {answers[group.query]}
        relevant |= {"It is by the harbour."} if "sea" in group.query else set()
        assert best in relevant
        assert len(negatives) == 3
        assert set(negatives) <= texts - relevant
        assert group.labels[0] == max(group.labels)
        assert len(set(group.labels)) > 2  # labels of the teacher with cosines and BM25
    assert {document for group in found.groups for document in group.documents} == texts
    assert [str(each) for each in found.findings] == [
        "1 pairs with a blank text, left out (first: train.jsonl, line 8)"
    ]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ((0, 0.5), r"train\.csv has no pairs that belong together \(with a label above 0\.5"),
        ((1, 5), r"go from 1 to 5, .* set label_map"),
    ],
)
def test_pairs_whose_labels_say_too_little_cannot_be_mined(
    labels: tuple[float, ...], problem: str, tiny_encoder: Path, cache: Path, tmp_path: Path
) -> None:
    path = tmp_path / "train.csv"
    rows = [f"question {label},answer {label},{label}" for label in labels]
    path.write_text("\n".join(["text1,text2,label", *rows]) + "\n")
    with pytest.raises(InvalidInputError, match=problem):
        mined_pairs(path, tiny_encoder, cache)


def test_contradictions_of_mined_pairs_are_reported_each_time(
    tiny_encoder: Path, cache: Path, tmp_path: Path
) -> None:
    path = tmp_path / "train.csv"
    path.write_text("text1,text2,label\nbird,river,1\nbird,sea,0\nbird,boat,0\nbird,sea,1\n")
    for _ in range(2):  # mined, and read again
        found = mined_pairs(path, tiny_encoder, cache)
        assert [str(each) for each in found.findings if "repeated" in str(each)] == [
            "1 pairs that are repeated with another label, taken as belonging together "
            "(first: train.csv, line 5)"
        ]
        [group] = found.groups
        assert group.documents[0] in ("river", "sea")
        assert group.documents[1:] == ["boat"]


def test_questions_that_are_the_same_are_no_negatives_either_way_round(
    tiny_encoder: Path, cache: Path, tmp_path: Path
) -> None:
    path = tmp_path / "train.csv"
    rows = ["bird sea,sea bird,1", "the sea bird,bird sea,1", "sea bird,a bird,1", "king,queen,1"]
    path.write_text("\n".join(["text1,text2,label", *rows]) + "\n")
    found = mined_pairs(path, tiny_encoder, cache)
    documents = {group.query: group.documents for group in found.groups}
    assert set(documents) == {"bird sea", "the sea bird", "sea bird", "king"}
    assert documents["bird sea"][0] == "sea bird"
    assert "bird sea" not in documents["bird sea"]
    # "sea bird" is paired with "bird sea" in one row, and with "a bird" in another.
    assert documents["sea bird"][0] in ("a bird", "bird sea")
    assert documents["sea bird"][1:] == ["queen"]


ARGUMENTS = {
    "a": "the boat on the river is old and slow",
    "b": "the boat on the river is new and fast",
    "c": "bread and cheese in the kitchen",
    "d": "the boat on the sea",
}


@pytest.mark.parametrize("ignored", [False, True])
def test_a_query_that_is_a_document_is_no_negative_of_its_own(
    mine, tmp_path: Path, ignored: bool
) -> None:
    queries = {"a": ARGUMENTS["a"], "c": "the boat is new"}  # "c" is a document's id by chance
    folder = written(tmp_path / "arguments", ARGUMENTS, queries, [("a", "b"), ("c", "b")])
    # With a title the document's text differs from the query's.
    corpus = [{"_id": id, "title": "transport", "text": text} for id, text in ARGUMENTS.items()]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    made = mine(folder, random=0, ranks=(1, 9), source={"ignore_identical_ids": ignored})
    found = {line["query_id"]: set(line["ids"]) for line in mine.lines()}
    assert "a" not in found["a"]
    assert ("c" in found["c"]) is not ignored  # with another text only its id leaves it out
    own = next(
        str(each) for each in made.findings if "left out of their own candidates" in str(each)
    )
    assert own.startswith("2 queries" if ignored else "1 queries")


def test_a_document_that_is_judged_relevant_for_itself_is_a_positive_unless_it_is_ignored(
    mine, tmp_path: Path
) -> None:
    judged = [("a", "a"), ("a", "b")]
    folder = written(tmp_path / "arguments", ARGUMENTS, {"a": ARGUMENTS["a"]}, judged)
    mine(folder, positives_per_query=None)
    assert set(mine.lines()[0]["positive"]) == {ARGUMENTS["a"], ARGUMENTS["b"]}
    mine(folder, positives_per_query=None, source={"ignore_identical_ids": True})
    assert mine.lines()[0]["positive"] == [ARGUMENTS["b"]]
    assert "a" not in mine.lines()[0]["ids"]


def test_ids_of_pairs_are_not_identical_to_anything() -> None:
    with pytest.raises(ValidationError, match="ignore_identical_ids needs a collect"):
        Source(pairs=Path("pairs.csv"), ignore_identical_ids=True)
