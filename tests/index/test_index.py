from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rerank_search.errors import (
    FilterWarning,
    IndexExistsError,
    InvalidDocumentError,
    InvalidInputError,
    ModelNotFoundError,
    SearchIndexError,
)
from rerank_search.index import Bm25Settings, Index, Passages
from rerank_search.index.encoder_record import recorded
from rerank_search.types import Document, Hit

SLOW_FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture
def index(tiny_encoder: Path, tmp_path: Path) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=str(tiny_encoder)) as index:
        yield index


@pytest.fixture
def words(tmp_path: Path) -> Iterator[Index]:
    """An index without vectors."""
    with Index.create(tmp_path / "words", encoder=None) as index:
        yield index


def found(index: Index, stage: str, query: str, k: int = 10, **options: Any) -> list[str]:
    [hits] = index.retriever(stage).retrieve([query], k, **options)
    return [hit.id for hit in hits]


def comparable(hits: list[Hit]) -> list[tuple[str, float, int]]:
    return [(hit.id, round(hit.score, 5), hit.rank) for hit in hits]


@pytest.mark.parametrize("stage", ["bm25", "dense", "hybrid"])
def test_a_document_is_found_once_add_has_returned(index: Index, stage: str) -> None:
    assert index.add([Document("a", "a bird on the river"), Document("b", "bread and cheese")]) == 2
    assert found(index, stage, "bird river", k=1) == ["a"]
    index.add([Document("c", "the violin song")])
    assert found(index, stage, "violin song", k=1) == ["c"]


@pytest.mark.parametrize("stage", ["bm25", "dense", "hybrid"])
def test_a_deleted_document_is_never_found_again(index: Index, stage: str) -> None:
    index.add([Document("a", "a bird on the river"), Document("b", "a bird in the tower")])
    assert index.delete(["a", "missing"]) == 1
    assert found(index, stage, "a bird on the river") == ["b"]


@pytest.mark.parametrize("stage", ["bm25", "dense"])
def test_a_new_version_takes_the_place_of_the_old_one(index: Index, stage: str) -> None:
    index.add([Document("a", "bird"), Document("b", "cheese")])
    index.add([Document("a", "cheese")])
    [[first, second]] = index.retriever(stage).retrieve(["cheese"], 5)
    assert (first.id, second.id) == ("a", "b")
    assert first.score == second.score


def test_new_metadata_is_found_without_encoding_the_text_again(index: Index) -> None:
    index.add([Document("a", "bird", metadata={"lang": "en"})])
    vectors = sorted(file.name for file in index.path.glob("dense/*.npy"))
    index.add([Document("a", "bird", metadata={"lang": "fr"})])
    assert sorted(file.name for file in index.path.glob("dense/*.npy")) == vectors
    assert found(index, "dense", "bird", filter={"lang": "fr"}) == ["a"]
    assert found(index, "dense", "bird", filter={"lang": "en"}) == []
    assert index.verify() == []


def test_what_is_stored_already_is_not_written(index: Index) -> None:
    index.add([Document("a", "bird")])
    seq = index.info().seq
    assert index.add([Document("a", "bird")]) == 0
    assert index.info().seq == seq


def test_an_index_looks_like_a_collection_of_documents(words: Index) -> None:
    documents = [Document("b", "two", "Title", {"k": [1]}), Document("a", "one")]
    words.add(documents)
    assert len(words) == 2
    assert "a" in words
    assert "A" not in words
    assert 7 not in words
    assert list(words.ids()) == ["a", "b"]
    assert words.get("b") == documents[0]
    assert words.documents(["missing", "a"]) == [None, documents[1]]


def test_documents_without_text_are_found_by_title_or_not_at_all(index: Index) -> None:
    index.add([Document("titled", "", "bird"), Document("empty", "")])
    for stage in index.first_stages:
        assert found(index, stage, "bird") == ["titled"]
    assert "empty" in index


@pytest.mark.parametrize("stage", ["bm25", "dense", "hybrid"])
def test_an_empty_index_a_blank_query_and_a_large_k_are_answered(index: Index, stage: str) -> None:
    assert found(index, stage, "bird") == []
    index.add([Document("a", "bird")])
    assert found(index, stage, "") == []
    assert found(index, stage, " \n") == []
    assert found(index, stage, "bird", k=1000) == ["a"]


def test_a_fact_in_the_last_paragraph_of_a_long_document_is_found(index: Index) -> None:
    filler = "The old train and the new station are in the city. " * 500
    fact = "A violin sings with the king of the mountain."
    index.add([Document("long", filler + "\n\n" + fact, "Winter")])
    index.add([Document(f"other {i}", "The old train and the new station.") for i in range(20)])
    [[by_words, *_]] = index.retriever("bm25").retrieve(["violin king mountain"], 5)
    document = index.get("long")
    assert document is not None
    assert by_words.span is not None
    passage = document.text[slice(*by_words.span)]
    assert fact in passage
    assert len(passage) < 500
    for stage in ("dense", "hybrid"):
        [[hit, *_]] = index.retriever(stage).retrieve([f"Winter\n{passage}"], 5)
        assert (hit.id, hit.span) == ("long", by_words.span)


def test_whole_documents_where_splitting_is_off(tiny_encoder: Path, tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", encoder=str(tiny_encoder), passages=None) as index:
        index.add([Document("long", "The old train. " * 500 + "violin")])
        assert index.info().passages == 1
        [[hit]] = index.retriever("bm25").retrieve(["violin"], 5)
        assert hit.span is None


def test_the_top_k_is_that_of_the_allowed_documents(index: Index) -> None:
    index.add([Document(f"{i:03}", "bird " * (1 + i % 7), metadata={"n": i}) for i in range(60)])
    for stage in ("bm25", "dense"):
        everything = found(index, stage, "bird", k=60)
        allowed = found(index, stage, "bird", k=5, filter={"n": {"$gte": 50}})
        assert allowed == [id for id in everything if int(id) >= 50][:5]


def test_every_hit_is_completed_with_the_scores_of_both_stages(index: Index) -> None:
    index.add([Document("a", "bird river"), Document("b", "cheese"), Document("c", "river")])
    queries = ["bird river", "cheese"]
    dense = index.retriever("dense").retrieve(queries, 3)
    completed = index.stage_scores(queries, dense)
    bm25 = index.retriever("bm25").retrieve(queries, 3)
    for before, after, words in zip(dense, completed, bm25, strict=True):
        expected = {hit.id: hit.score for hit in words}
        assert [hit.id for hit in after] == [hit.id for hit in before]
        for hit, old in zip(after, before, strict=True):
            assert hit.stage_scores["bm25"] == pytest.approx(expected.get(hit.id, 0.0))
            assert hit.stage_scores["dense"] == old.score
    of_words = index.stage_scores(queries, bm25)
    cosines = [{hit.id: hit.score for hit in hits} for hits in dense]
    for hits, expected in zip(of_words, cosines, strict=True):
        for hit in hits:
            assert hit.stage_scores["dense"] == pytest.approx(expected[hit.id], abs=1e-5)


def test_a_split_document_is_completed_with_its_best_passage(index: Index) -> None:
    index.add([Document("long", "The old train. " * 100 + "A violin song."), Document("b", "rain")])
    query = ["violin song"]
    [dense] = index.retriever("dense").retrieve(query, 2)
    expected = next(hit.score for hit in dense if hit.id == "long")
    [[hit]] = index.stage_scores(query, index.retriever("bm25").retrieve(["violin"], 5))
    assert hit.id == "long"
    assert hit.stage_scores["dense"] == pytest.approx(expected, abs=1e-5)


def test_a_document_known_by_its_id_alone_gets_the_span_of_its_best_passage(
    index: Index, tiny_encoder: Path, tmp_path: Path
) -> None:
    text = "The old train. " * 100 + "A violin song."
    documents = [Document("long", text), Document("short", "rain"), Document("gone", "x")]
    index.add(documents)
    with Index.create(tmp_path / "words", encoder=None, passages=Passages(tokens=20)) as words:
        words.add(documents)
        for each, found_by in ((index, "dense"), (words, "bm25")):
            [found] = each.retriever(found_by).retrieve(["violin song"], 5)
            expected = {hit.id: hit.span for hit in found}
            known = [Hit("long", 0.0, 0), Hit("short", 0.0, 0), Hit("never", 0.0, 0)]
            [[long, short, never]] = each.stage_scores(["violin song"], [known])
            assert long.span == expected["long"]
            assert long.span is not None
            assert "violin" in text[slice(*long.span)]
            assert short.span is None
            assert (never.span, never.stage_scores) == (None, {})


def test_a_span_that_a_stage_has_found_is_kept(index: Index) -> None:
    index.add([Document("long", "The old train. " * 100 + "A violin song.")])
    [[hit]] = index.stage_scores(["violin"], [[Hit("long", 1.0, 1, span=(0, 14))]])
    assert hit.span == (0, 14)


def test_scores_of_a_document_that_is_gone_are_kept(index: Index) -> None:
    [[hit]] = index.stage_scores(["x"], [[Hit("gone", 1.0, 1, stage_scores={"bm25": 1.0})]])
    assert hit.stage_scores == {"bm25": 1.0}
    assert index.stage_scores([], []) == []
    assert index.stage_scores(["x"], [[]]) == [[]]


def test_a_bad_document_stops_its_batch_and_nothing_before_it(words: Index) -> None:
    documents = [Document(str(i), f"text {i}") for i in range(5)] + [Document("bad", "\ud800")]
    with pytest.raises(InvalidDocumentError, match=r"document 5 \(id 'bad'\)"):
        words.add(documents, batch_size=2)
    assert list(words.ids()) == ["0", "1", "2", "3"]
    assert len(found(words, "bm25", "text")) == 4


def test_documents_are_taken_from_a_generator_batch_by_batch(words: Index) -> None:
    sizes = []

    def documents() -> Iterator[Document]:
        for i in range(30):
            sizes.append(len(words))
            yield Document(str(i), "text")

    words.add(documents(), batch_size=10)
    assert sizes == [0] * 10 + [10] * 10 + [20] * 10


def test_what_came_before_a_failing_source_can_be_found(words: Index) -> None:
    def documents() -> Iterator[Document]:
        yield from (Document(str(i), "text") for i in range(10))
        raise OSError("the source failed")

    with pytest.raises(OSError, match="the source failed"):
        words.add(documents(), batch_size=4)
    assert sorted(found(words, "bm25", "text")) == [str(i) for i in range(8)]


@pytest.mark.parametrize("repeated", [False, True])
def test_progress_adds_up_to_all_documents(index: Index, repeated: bool) -> None:
    documents = [Document(str(i), "old train. " * (i * 10)) for i in range(10)]
    if repeated:
        index.add(documents)
    steps: list[int] = []
    index.add(documents, batch_size=3, progress=steps.append)
    assert sum(steps) == 10


@pytest.mark.slow
def test_a_huge_document_is_added_and_found(words: Index) -> None:
    text = "All work and no play makes a dull boy. " * 130_000 + "The violin at the end."
    words.add([Document("huge", text)])
    [[hit]] = words.retriever("bm25").retrieve(["violin"], 3)
    assert hit.span is not None
    assert "violin" in text[slice(*hit.span)]


def test_query_syntax_is_plain_words(words: Index) -> None:
    words.add([Document("a", 'say "and" (or: not) path:file'), Document("b", "and other")])
    for query in ('"', "(", ":", "AND", 'path:"file', "a OR (b", "*", "\\", "+say -and", "\0"):
        assert set(found(words, "bm25", query)) <= {"a", "b"}
    assert found(words, "bm25", 'path:"file')[0] == "a"


def test_a_fixed_collection_may_choose_its_bm25(tmp_path: Path) -> None:
    settings = Bm25Settings(engine="bm25s", k1=0.9, b=0.4)
    path = tmp_path / "index"
    with Index.create(path, encoder=None, bm25=settings) as index:
        index.add([Document("a", "bird"), Document("b", "cheese")])
        index.delete(["b"])
        index.add([Document("c", "bird")])
        assert index.verify() == []
    with Index.open(path) as index:
        assert found(index, "bm25", "bird") == ["a", "c"]
        index.rebuild()
        index.compact()
        assert index.verify() == []


def test_an_index_without_vectors_has_one_stage(words: Index) -> None:
    assert words.first_stages == ("bm25",)
    with pytest.raises(InvalidInputError, match="'dense'"):
        words.retriever("dense")


def test_rebuild_and_compact_change_no_answer(index: Index) -> None:
    index.add([Document(str(i), f"bird {'river ' * (i % 5)}") for i in range(40)])
    index.delete([str(i) for i in range(0, 40, 3)])
    index.rebuild()
    retrievers = [index.retriever(stage) for stage in index.first_stages]
    before = [comparable(r.retrieve(["bird river"], 50)[0]) for r in retrievers]
    index.compact()
    assert [comparable(r.retrieve(["bird river"], 50)[0]) for r in retrievers] == before
    index.rebuild()
    assert [comparable(r.retrieve(["bird river"], 50)[0]) for r in retrievers] == before
    assert index.verify() == []


def test_compact_gives_the_space_of_what_was_removed_back(index: Index) -> None:
    index.add([Document(str(i), f"number{i} bird river") for i in range(400)])
    index.delete([str(i) for i in range(1, 400)])
    before = index.info()
    index.compact()
    after = index.info()
    assert after.bytes_documents < before.bytes_documents
    assert after.bytes_bm25 < before.bytes_bm25
    assert after.bytes_dense < before.bytes_dense
    for stage in index.first_stages:
        assert found(index, stage, "number0 bird") == ["0"]
    assert index.verify() == []


def test_info_says_what_the_index_holds(index: Index, tiny_encoder: Path) -> None:
    index.add([Document("a", "bird", metadata={"k": 1}), Document("b", "")])
    info = index.info()
    assert (info.documents, info.passages, info.seq) == (2, 1, 2)
    assert (info.encoder, info.dimension, info.passage_tokens) == (str(tiny_encoder), 32, 64)
    assert info.first_stages == ("bm25", "dense", "hybrid")
    assert min(info.bytes_documents, info.bytes_bm25, info.bytes_dense) > 0
    assert info.bytes_engines == {"bm25": info.bytes_bm25, "dense": info.bytes_dense}


def test_an_index_is_never_made_over_something(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    for name in ("folder", "folder/file"):
        with pytest.raises(IndexExistsError):
            Index.create(tmp_path / name, encoder=None)
    (tmp_path / "empty").mkdir()
    Index.create(tmp_path / "empty", encoder=None).close()


def test_of_two_that_create_the_same_index_one_is_refused(
    tiny_encoder: Path,
    tmp_path: Path,
    when_called: Callable[..., AbstractContextManager[None]],
) -> None:
    path = tmp_path / "index"

    def create_faster(_: object) -> None:
        with Index.create(path, encoder=None) as faster:
            faster.add([Document("a", "a bird")])

    # Called after the folder was found to be free, and before anything is written.
    with when_called(recorded, create_faster), pytest.raises(IndexExistsError):
        Index.create(path, encoder=str(tiny_encoder))
    with Index.open(path) as index:
        assert index.get("a") == Document("a", "a bird")
        assert index.verify() == []


@pytest.mark.parametrize("progress", [5, "yes"])
def test_progress_that_cannot_be_called_is_refused_before_anything_is_written(
    words: Index, progress: Any
) -> None:
    with pytest.raises(InvalidInputError, match=r"progress=.* cannot be called"):
        words.add([Document("a", "bird")], progress=progress)
    with pytest.raises(InvalidInputError, match=r"progress=.* cannot be called"):
        words.rebuild(progress=progress)
    assert len(words) == 0


@pytest.mark.parametrize("setting", [{"vector_dtype": "int4"}, {"hnsw_above": -1}])
def test_an_unusable_setting_is_refused_by_name(tmp_path: Path, setting: dict[str, Any]) -> None:
    [name] = setting
    with pytest.raises(InvalidInputError, match=name):
        Index.create(tmp_path / "index", encoder=None, **setting)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_creation_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        Index.create(tmp_path / "a", encoder=str(tmp_path / "missing"))
    with pytest.raises(InvalidInputError):
        Index.create(tmp_path / "b", encoder=None, analyzer="klingon")
    assert list(tmp_path.iterdir()) == []


def test_passages_longer_than_the_window_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="64"):
        Index.create(tmp_path / "i", encoder=str(tiny_encoder), passages=Passages(tokens=100))


def test_one_where_many_are_wanted_is_told(words: Index) -> None:
    with pytest.raises(InvalidInputError, match="several"):
        words.add(Document("a", "text"))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="one string: give a list of ids"):
        words.delete("abc")
    with pytest.raises(InvalidInputError, match="documents is a dict"):
        words.add({"a": Document("a", "text")})  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="documents=None is not a list"):
        words.add(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, None, 2.0, True, "9"])
def test_a_batch_has_a_whole_number_of_documents(words: Index, size: Any) -> None:
    with pytest.raises(InvalidInputError, match="batch_size="):
        words.add([], batch_size=size)


def test_what_comes_asynchronously_is_for_the_other_client(words: Index) -> None:
    async def documents() -> Any:
        yield Document("a", "text")

    with pytest.raises(InvalidInputError, match="documents is asynchronous"):
        words.add(documents())


def test_an_integer_id_becomes_its_digits(words: Index) -> None:
    documents = [Document(5, "bread"), Document(np.int64(6), "boat")]  # type: ignore[arg-type]
    assert words.add(documents) == 2
    assert list(words.ids()) == ["5", "6"]
    assert words.get(5) == words.get("5") == Document("5", "bread")  # type: ignore[arg-type]
    assert words.documents([5, "6", 7])[2] is None  # type: ignore[list-item]
    assert 5 in words
    assert 5.0 not in words
    assert None not in words
    assert words.delete([5, np.int64(6)]) == 2  # type: ignore[list-item]


@pytest.mark.parametrize("id", [5.0, True, None])
def test_any_other_id_is_refused_with_its_value(words: Index, id: Any) -> None:
    for ask in (lambda: words.delete([id]), lambda: words.get(id), lambda: words.documents([id])):
        with pytest.raises(InvalidInputError, match=f"a document id is {id}"):
            ask()


def test_metadata_and_filters_may_have_numpys_numbers(words: Index) -> None:
    words.add([Document("a", "bread", metadata={"n": np.int64(3), "share": np.float32(0.5)})])
    assert words.get("a") == Document("a", "bread", metadata={"n": 3, "share": 0.5})
    assert found(words, "bm25", "bread", filter={"n": np.int64(3)}) == ["a"]
    assert found(words, "bm25", "bread", filter={"share": {"$gt": np.float32(0.25)}}) == ["a"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"encoder": object()}, "encoder=<object"),
        ({"encoder": b"name"}, "encoder=b'name' is bytes"),
        ({"encoder": None, "hnsw_above": 1.5}, "hnsw_above=1.5"),
        ({"encoder": None, "hnsw_above": None}, "hnsw_above=None"),
        ({"encoder": None, "passages": 5}, "passages"),
        ({"encoder": None, "bm25": "tantivy"}, "bm25"),
        ({"encoder": None, "analyzer": object()}, "analyzer"),
    ],
)
def test_what_an_index_cannot_be_made_of_is_refused_by_name(
    tmp_path: Path, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidInputError, match=named):
        Index.create(tmp_path / "index", **arguments)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("path", [b"index", 5, None, "a\0b"])
def test_what_is_no_path_is_refused(path: Any) -> None:
    for make in (Index.create, Index.open):
        with pytest.raises(InvalidInputError, match="path="):
            make(path)


def test_an_encoder_may_be_given_as_a_path(tmp_path: Path, tiny_encoder: Path) -> None:
    with Index.create(str(tmp_path / "index"), encoder=tiny_encoder) as index:
        assert index.info().encoder == str(tiny_encoder)
    with Index.open(tmp_path / "index", encoder=tiny_encoder) as index:
        assert index.first_stages == ("bm25", "dense", "hybrid")


def test_a_closed_index_says_so(words: Index) -> None:
    words.close()
    words.close()
    with pytest.raises(SearchIndexError, match="closed"):
        words.add([Document("a", "text")])
    with pytest.raises(SearchIndexError, match="closed"):
        len(words)


TEXTS = st.lists(st.sampled_from(["bird", "river", "cheese", "violin", "the"]), max_size=6).map(
    " ".join
)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=SLOW_FIXTURES)
@given(texts=st.lists(TEXTS, min_size=1, max_size=12), data=st.data())
def test_rankings_do_not_depend_on_the_order_of_insertion(
    tiny_encoder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    data: st.DataObject,
) -> None:
    documents = [Document(f"d{i}", text) for i, text in enumerate(texts)]
    shuffled = data.draw(st.permutations(documents))
    k = data.draw(st.integers(1, 12))
    rankings = []
    for order, batch in ((documents, 1000), (shuffled, 3)):
        path = tmp_path_factory.mktemp("order") / "index"
        with Index.create(path, encoder=str(tiny_encoder)) as index:
            index.add(order, batch_size=batch)
            rankings.append(
                {
                    stage: [
                        comparable(hits)
                        for hits in index.retriever(stage).retrieve(["bird river", "cheese"], k)
                    ]
                    for stage in index.first_stages
                }
            )
    assert rankings[0] == rankings[1]


IDS = st.sampled_from(["a", "A", "é", "e\u0301", "b"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.builds(Document, id=IDS, text=TEXTS), max_size=4)),
        st.tuples(st.just("delete"), st.lists(IDS, max_size=3)),
        st.tuples(st.sampled_from(["reopen", "rebuild", "compact"]), st.none()),
    ),
    max_size=6,
)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=SLOW_FIXTURES)
@given(steps=STEPS)
def test_an_index_is_a_dictionary_that_can_be_searched(
    tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("model") / "index"
    index = Index.create(path, encoder=str(tiny_encoder))
    model: dict[str, Document] = {}
    for step, values in steps:
        if step == "add":
            index.add(values)
            model.update({document.id: document for document in values})
        elif step == "delete":
            index.delete(values)
            model = {id: document for id, document in model.items() if id not in values}
        elif step == "reopen":
            index.close()
            index = Index.open(path)
        else:
            getattr(index, step)()
    with index:
        assert {id: index.get(id) for id in index.ids()} == model
        assert len(index) == len(model)
        texts = {id for id, document in model.items() if document.text}
        assert set(found(index, "dense", "bird", k=20)) == texts
        birds = {id for id, document in model.items() if "bird" in document.text.split()}
        assert set(found(index, "bm25", "bird", k=20)) == birds
        assert index.verify() == []


def test_deleting_by_a_key_that_no_document_has_is_a_python_warning(words: Index) -> None:
    words.add([Document("a", "text", metadata={"folder": "man"})])
    with pytest.warns(FilterWarning, match="'fodler'.*there are 'folder'"):
        assert words.delete_matching({"fodler": "man"}) == 0
    assert words.delete_matching({"folder": "doc"}) == 0
    assert words.delete_matching({"fodler": "man"}, warn=False) == 0


def test_a_long_add_publishes_whole_blocks_and_at_the_end_the_rest(tmp_path: Path) -> None:
    found_meanwhile: list[int] = []
    with Index.create(tmp_path / "index", encoder=None) as index:
        index.add([Document("first", "word")])

        def documents() -> Iterator[Document]:
            for number in range(4_600):
                if number == 4_500:
                    found_meanwhile.append(len(found(index, "bm25", "word", 9_999)))
                yield Document(str(number), "word")

        index.add(documents())
        assert found_meanwhile == [4_000]
        assert len(found(index, "bm25", "word", 9_999)) == 4_601
        assert index.verify() == []
        assert index.info().documents == 4_601
