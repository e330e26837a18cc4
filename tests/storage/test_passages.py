from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_search.storage.boundaries import cuts_character, words
from rerank_search.storage.passages import Splitter, TokenOffsets, passage_text, whole

WINDOW = 34  # 32 words, and room for two special tokens


def splitter(overlap: int = 8) -> Splitter:
    return Splitter(words, tokens=WINDOW, overlap=overlap)


def sentence(length: int, name: str = "w") -> str:
    return " ".join(f"{name}{i}" for i in range(length - 1)) + "."


def test_a_document_that_fits_is_one_passage() -> None:
    assert splitter().split("title", sentence(20)).spans == [None]


def test_a_document_without_text_is_found_by_its_title() -> None:
    assert splitter().split("title", " \n").spans == [None]


def test_a_document_without_any_text_has_no_passage() -> None:
    assert splitter().split(" ", "\n\t").spans == []
    assert whole("", "").spans == []


def test_passages_end_where_sentences_end() -> None:
    text = " ".join(sentence(10, f"s{i}x") for i in range(9))
    spans = [span for span in splitter().split("", text).spans if span]
    assert len(spans) > 2
    for start, end in spans:
        assert text[end - 1] == "."
        assert start == 0 or text[start - 2] == "."


def test_neighbours_share_whole_sentences_up_to_the_overlap() -> None:
    text = " ".join(sentence(6, f"s{i}x") for i in range(20))
    spans = [span for span in splitter(overlap=8).split("", text).spans if span]
    for (_, end), (start, _) in pairwise(spans):
        shared = text[start:end]
        assert shared.count(".") == 1
        assert len(words(shared)) <= 8


def test_a_sentence_that_fits_by_itself_is_never_cut_for_an_overlap() -> None:
    text = " ".join([sentence(24, "a"), sentence(7, "b"), sentence(30, "c"), sentence(5, "d")])
    passages = [text[slice(*span)] for span in splitter().split("", text).spans if span]
    assert any(sentence(30, "c") in passage for passage in passages)


def test_an_overlong_sentence_is_cut_between_words() -> None:
    text = sentence(200)
    for span in splitter().split("", text).spans:
        assert span
        start, end = span
        assert start == 0 or text[start - 1] == " "
        assert end == len(text) or text[end] in " ."


def test_a_word_longer_than_the_window_is_cut_between_tokens() -> None:
    text = "x" * 100

    def letters(text: str) -> list[tuple[int, int]]:
        return [(i, i + 1) for i in range(len(text)) if not text[i].isspace()]

    spans = Splitter(letters, tokens=WINDOW, overlap=4).split("", text).spans
    assert all(span and span[1] - span[0] <= 32 for span in spans)


def test_every_passage_carries_the_title_and_fits_with_it() -> None:
    title, text = "one two three", " ".join(sentence(9, f"s{i}x") for i in range(10))
    split = splitter().split(title, text)
    for span in split.spans:
        passage = passage_text(title, split.head, text, span)
        assert passage.startswith(title + "\n")
        assert len(words(passage)) <= 32


def test_a_very_long_title_takes_a_quarter_and_is_a_passage_of_its_own() -> None:
    title, text = sentence(50, "t"), sentence(50)
    split = splitter().split(title, text)
    first, *others = [passage_text(title, split.head, text, span) for span in split.spans]
    assert first == title
    assert all(len(words(passage)) <= 32 for passage in others)
    assert others[0].startswith("t0 t1")


def test_a_very_long_document_is_split_quickly() -> None:
    text = "All work and no play makes a dull boy. " * 25_000
    assert len(splitter().split("", text).spans) > 5000


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(alphabet="ab .!?\n。é\u0301😀-中，กำ ि", max_size=600),
    title=st.text(alphabet="ab .", max_size=60),
    overlap=st.integers(0, 40),
)
def test_passages_fit_cover_every_word_and_go_forward(title: str, text: str, overlap: int) -> None:
    split = Splitter(words, tokens=WINDOW, overlap=overlap).split(title, text)
    spans = [span for span in split.spans if span]
    if not spans:
        assert len(words(title)) + len(words(text)) <= 32 or not text.strip()
        return
    covered: set[int] = set()
    for span in spans:
        assert 0 <= span[0] <= span[1] <= len(text)
        assert len(words(passage_text(title, split.head, text, span))) <= max(32, len(words(title)))
        covered.update(range(*span))
    assert all(text[i].isspace() for i in range(len(text)) if i not in covered)
    starts = [start for start, end in spans if end]
    assert starts == sorted(set(starts))


@pytest.mark.parametrize("end", [". ", "! ", "? ", '." ', "。", "؟ ", "۔", "। ", "။ ", "\n\n"])
def test_sentences_end_at(end: str) -> None:
    text = end.join(" ".join(f"w{i}{j}" for j in range(12)) for i in range(8)) + "."
    spans = [span for span in splitter(overlap=0).split("", text).spans if span]
    assert [text[start : start + 3] for start, _ in spans] == ["w00", "w20", "w40", "w60"]


def passages_of(text: str, offsets: TokenOffsets = words) -> list[str]:
    spans = Splitter(offsets, tokens=WINDOW, overlap=4).split("", text).spans
    return [text[slice(*span)] if span else text for span in spans]


def test_chinese_without_an_encoder_is_cut_by_characters_at_the_ends_of_sentences() -> None:
    passages = passages_of("这是一个关于船的很长的句子。" * 10)
    assert len(passages) > 4
    assert all(len(passage) <= 32 and passage.endswith("。") for passage in passages)


def test_thai_is_cut_between_clauses() -> None:
    passages = passages_of("เรือแล่นไปตามแม่น้ำ " * 30)
    assert len(passages) > 4
    assert all(passage.endswith("เรือแล่นไปตามแม่น้ำ") for passage in passages)


def test_a_long_chinese_sentence_is_cut_after_a_comma() -> None:
    passages = passages_of("船在河上航行了很久很久，" * 20)
    assert len(passages) > 4
    assert all(passage.endswith("，") for passage in passages)


@pytest.mark.parametrize("cluster", ["e\u0301", "กำ", "हि", "👩\u200d🚀", "각"])
def test_a_letter_is_never_cut_from_its_marks_whatever_the_tokens_are(cluster: str) -> None:
    text = cluster * 100
    for passage in passages_of(text, lambda text: [(i, i + 1) for i in range(len(text))]):
        assert passage == cluster * (len(passage) // len(cluster))


def test_a_long_title_keeps_its_marks() -> None:
    title = "e\u0301" * 100

    def points(text: str) -> list[tuple[int, int]]:
        return [(i, i + 1) for i in range(len(text))]

    split = Splitter(points, tokens=37, overlap=4).split(title, sentence(50))
    assert split.head
    assert not cuts_character(title, split.head)


TEXTS = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from(' \n.!?…。！？؟۔।။។"”），中กำ ๆि\u0301\u200d😀🏽🇩'),
    max_size=300,
)


@given(text=TEXTS, title=TEXTS, overlap=st.integers(0, 20))
def test_passages_of_any_text(title: str, text: str, overlap: int) -> None:
    split = Splitter(words, tokens=16, overlap=overlap).split(title, text)
    assert not split.head or not cuts_character(title, split.head)
    position = 0
    for start, end in filter(None, split.spans):
        assert 0 <= start <= end <= len(text)
        assert not text[position:start].strip()
        for at in (start, end):
            assert text[at - 1 : at].isspace() or not cuts_character(text, at)
        position = max(position, end)
    assert not any(split.spans) or not text[position:].strip()
