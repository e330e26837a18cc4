from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rerank_search import Document, Hit, InvalidInputError, SearchResponse
from rerank_search.context import GAP, pack
from rerank_search.types import FoundPassage

SENTENCES = [f"Sentence {number} is about boats." for number in range(20)]
TEXT = " ".join(SENTENCES)


def span_of(first: int, last: int) -> tuple[int, int]:
    """The span of some sentences of TEXT."""
    start = TEXT.index(SENTENCES[first])
    return start, TEXT.index(SENTENCES[last]) + len(SENTENCES[last])


def hit(id: str, score: float, *sentences: int, rank: int = 1, text: str = TEXT, **metadata) -> Hit:
    """A hit with a passage for each of the sentences, the first with the hit's score."""
    passages = tuple(
        FoundPassage(span_of(each, each), score - place) for place, each in enumerate(sentences)
    )
    span = passages[0].span if passages else None
    document = Document(id, text, f"Title of {id}", metadata)
    return Hit(id, score, rank, document, span=span, passages=passages)


def words(text: str) -> int:
    return len(text.split())


def test_documents_are_numbered_in_the_order_of_the_hits_with_citations() -> None:
    hits = [hit("a", 3.0, 4, url="https://a.example"), hit("b", 2.0, 0, rank=2)]
    context = pack(hits, neighbours=0)
    assert context.text == (
        "[1] Title of a (https://a.example)\nSentence 4 is about boats.\n\n"
        "[2] Title of b\nSentence 0 is about boats."
    )
    first, second = context.citations
    assert (first.number, first.id, first.title, first.url) == (
        1,
        "a",
        "Title of a",
        "https://a.example",
    )
    assert (first.spans, first.score) == ((span_of(4, 4),), 3.0)
    assert (second.number, second.id, second.url) == (2, "b", None)
    assert "\n\n".join(context.blocks) == context.text


def test_a_response_and_its_hits_give_the_same_context() -> None:
    hits = [hit("a", 3.0, 4)]
    response = SearchResponse("boats", hits, "bm25", 1, reranked=True)
    assert pack(response) == pack(hits) == pack(iter(hits))


def test_parts_are_text_parts_of_messages() -> None:
    context = pack([hit("a", 3.0, 4), hit("b", 2.0, 0)], neighbours=0)
    assert context.parts() == [{"type": "text", "text": block} for block in context.blocks]
    assert json.loads(json.dumps(context.parts())) == context.parts()


def test_passages_of_one_document_stay_one_source_with_a_gap() -> None:
    [citation] = (context := pack([hit("a", 3.0, 9, 2)], neighbours=0)).citations
    assert citation.spans == (span_of(2, 2), span_of(9, 9))
    assert context.blocks[0].endswith(GAP.join([SENTENCES[2], SENTENCES[9]]))


def test_overlapping_and_touching_passages_become_one() -> None:
    found = hit("a", 3.0, 4)
    overlapping = (FoundPassage(span_of(4, 6), 3.0), FoundPassage(span_of(5, 8), 2.0))
    context = pack([replace(found, passages=overlapping)], neighbours=0)
    assert context.citations[0].spans == (span_of(4, 8),)
    start, end = span_of(4, 6)
    touching = (FoundPassage((start, end), 3.0), FoundPassage((end, end + 30), 2.0))
    context = pack([replace(found, passages=touching)], neighbours=0)
    assert context.citations[0].spans == ((start, end + 30),)


@pytest.mark.parametrize(("neighbours", "first", "last"), [(1, 9, 11), (2, 8, 12), (9, 1, 19)])
def test_neighbouring_sentences_are_added_on_both_sides(neighbours, first, last) -> None:
    context = pack([hit("a", 3.0, 10)], neighbours=neighbours)
    [(start, end)] = context.citations[0].spans
    assert TEXT[start:end].strip() == TEXT[slice(*span_of(first, last))]


def test_the_first_and_the_last_sentence_have_neighbours_on_one_side() -> None:
    [(start, end)] = pack([hit("a", 1.0, 0)], neighbours=1).citations[0].spans
    assert TEXT[start:end].strip() == TEXT[slice(*span_of(0, 1))]
    [(start, end)] = pack([hit("a", 1.0, 19)], neighbours=1).citations[0].spans
    assert TEXT[start:end].strip() == TEXT[slice(*span_of(18, 19))]


def test_the_better_passage_wins_wherever_its_document_ranks() -> None:
    better = replace(hit("b", 2.0, 0, rank=2), passages=(FoundPassage(span_of(0, 0), 9.0),))
    context = pack([hit("a", 3.0, 4), better], tokens=9, count=words)
    assert [each.id for each in context.citations] == ["b"]


@pytest.mark.parametrize("tokens", range(1, 60))
def test_there_are_never_more_tokens_than_allowed(tokens) -> None:
    hits = [hit("a", 3.0, 4, 9), hit("b", 2.0, 0, rank=2), hit("c", 1.0, 15, 3, rank=3)]
    context = pack(hits, tokens=tokens, count=words)
    assert context.tokens == words(context.text) <= tokens


@pytest.mark.parametrize("tokens", [1, 7, 23, 61])
def test_a_count_that_is_not_additive_is_kept_too(tokens) -> None:
    hits = [hit("a", 3.0, 4, 9), hit("b", 2.0, 0, rank=2)]
    context = pack(hits, tokens=tokens, count=lambda text: len(text) // 4)
    assert context.tokens == len(context.text) // 4 <= tokens


def test_the_best_passage_is_cut_between_words_if_it_does_not_fit() -> None:
    context = pack([hit("a", 3.0, 4), hit("b", 2.0, 0)], tokens=6, count=words, neighbours=0)
    assert context.text == "[1] Title of a\nSentence 4"


def test_more_tokens_take_every_passage_that_fewer_did() -> None:
    hits = [hit("a", 3.0, 4, 9), hit("b", 2.0, 0, rank=2), hit("c", 1.0, 15, 3, rank=3)]
    before: set[str] = set()
    for tokens in range(9, 80, 9):
        now = {each.id for each in pack(hits, tokens=tokens, count=words).citations}
        assert before <= now
        before = now


def test_tokens_are_those_of_a_real_tokenizer() -> None:
    from tokenizers import Tokenizer

    from rerank_search.models.registry import resolve_reranker

    tokenizer = Tokenizer.from_file(f"{resolve_reranker('rerank-search-base')}/tokenizer.json")
    tokenizer.no_truncation()
    long = replace(hit("a", 3.0), document=Document("a", TEXT * 10))
    context = pack([long], tokens=1_000)
    assert context.tokens == len(tokenizer.encode(context.text, add_special_tokens=False)) > 600
    assert pack([long], tokens=1_000, count=tokenizer.encode).text != ""


def test_whole_and_empty_documents_are_sources_too() -> None:
    whole = Hit("a", 2.0, 1, Document("a", "a boat"))
    only_title = Hit("b", 1.0, 2, Document("b", "", "Boats"))
    assert pack([whole, only_title]).text == "[1] a\na boat\n\n[2] Boats"


@pytest.mark.parametrize("found", [[], SearchResponse("boats", (), "bm25", 0, reranked=False)])
def test_nothing_found_is_an_empty_context(found) -> None:
    context = pack(found)
    assert (context.text, context.tokens, context.citations, context.parts()) == ("", 0, (), [])


def test_the_url_is_what_a_function_says() -> None:
    context = pack([hit("a b", 1.0, 0)], url=lambda document: f"https://x.example/{document.id}")
    assert context.citations[0].url == "https://x.example/a b"
    assert "(https://x.example/a b)" in context.text
    assert pack([hit("a", 1.0, 0, url=7)]).citations[0].url is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"found": [Hit("a", 1.0, 1)]}, "the hit 'a' has no document"),
        ({"found": ["a"]}, "found has 'a', which is not a Hit"),
        ({"found": "a"}, "found"),
        ({"found": [hit("a", 1.0, 9, text="short")]}, "only a part of its document's text"),
        ({"tokens": 0}, "tokens=0 must be at least 1"),
        ({"neighbours": -1}, "neighbours=-1 must be at least 0"),
        ({"count": 7}, "count=7"),
        ({"count": lambda text: None}, r"count\(text\)=None is not a whole number"),
        ({"url": "https://x"}, "url='https://x'"),
    ],
)
def test_what_cannot_be_packed_is_refused_by_name(arguments, message) -> None:
    with pytest.raises(InvalidInputError, match=message):
        pack(**{"found": [hit("a", 1.0, 0)], **arguments})


def test_the_best_passage_is_cut_anywhere_in_a_text_without_spaces() -> None:
    chinese = Hit("a", 1.0, 1, Document("a", "没有空格的中文句子" * 20, "标题"))
    context = pack([chinese], tokens=40, count=len)
    assert 37 < context.tokens == len(context.text) <= 40
    assert context.text.startswith("[1] 标题\n没有空格")


@pytest.mark.parametrize("character", ["กำ", "e\u0301", "👩\u200d🚀"])
def test_a_cut_passage_keeps_letters_and_their_marks_together(character: str) -> None:
    found = Hit("a", 1.0, 1, Document("a", character * 50, "x"))
    for tokens in range(20, 26):
        [_, text] = pack([found], tokens=tokens, count=len).text.split("\n")
        assert text == character * (len(text) // len(character))


def test_neighbours_of_a_chinese_passage_are_its_sentences() -> None:
    text = "第一句。第二句！第三句？第四句。第五句。"
    found = Hit("a", 1.0, 1, Document("a", text, "x"), span=(8, 12))
    assert pack([found], neighbours=1).text == "[1] x\n第二句！第三句？第四句。"


def test_a_passage_without_room_for_a_word_is_left_out() -> None:
    assert pack([hit("a", 3.0, 4)], tokens=4, count=words).text == ""


def test_a_text_that_utf_8_cannot_encode_is_counted_too() -> None:
    context = pack([Hit("a", 1.0, 1, Document("a", "half of a pair: \ud800"))])
    assert context.text.endswith("\ud800")


def test_only_what_is_added_is_counted_of_a_document_with_many_passages() -> None:
    text = " ".join(f"Sentence {number} is about boats." for number in range(3_000))
    spans = [(start, start + 300) for start in range(0, len(text) - 300, 100)]
    passages = tuple(FoundPassage(span, 1.0 / rank) for rank, span in enumerate(spans, start=1))
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return len(text)

    context = pack(
        [replace(hit("a", 1.0, text=text), passages=passages)], tokens=10**6, count=count
    )
    assert context.citations[0].spans == ((0, len(text)),)
    assert sum(map(len, counted)) < 3 * len(text)
