import re
from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.storage.boundaries import (
    SENTENCE_END,
    beginning,
    characters,
    cuts_character,
    word_count,
    words,
)

LATIN = st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["Cs"]), max_size=80)
SCRIPTS = st.text(
    st.sampled_from(
        "aé1_ \n.'“”\u0301\u0316\u200d\u200c\ufe0f北京。，コーｶﾞ한\u1112\u1161\u11abกำเ็ๆ"
        "་ཀခြาចក្한हिन्दीمے👨🏽🇩🇪©\u0600\x1c"
    ),
    max_size=60,
)
ANY = SCRIPTS | st.text(max_size=60)


def sentences(text: str) -> list[str]:
    ends = [0, *(match.end() for match in SENTENCE_END.finditer(text)), len(text)]
    return [part for start, end in pairwise(ends) if (part := text[start:end])]


def shown(text: str) -> list[str]:
    return [text[start:end] for start, end in words(text)]


@pytest.mark.parametrize(
    "text",
    [
        "One. |Two! |Three? |“Yes.” |Four",
        "我来了。|你好吗？|好！|他说：“走吧。”|他走了",
        "（他来了。）|他走了",
        "هل تعلم؟ |نعم، أعلم. |حسنا",
        "یہ ایک جملہ ہے۔|یہ دوسرا ہے۔ |تیسرا",
        "यह एक वाक्य है। |यह दूसरा है।। |तीसरा॥ |चौथा",
        "သူလာသည်။ |သူသွားသည်။ |သူ",
        "គាត់មក។ |គាត់ទៅ។|គាត់",
        "እሱ መጣ። |እሱ ሄደ። |ማን ነው፧ |እሱ",
        "Նա եկավ։ |Նա գնաց։ |Նա",
        "ཁོང་ཡོང་སོང་། |ཁོང",
        "เขามาที่นี่ |เขาไป |“ที่นั่น” |เขากลับ",
        "ລາວມາ |ລາວໄປ",
        "One\n\n|Two\n \n|Three",
    ],
)
def test_sentences_of_many_languages(text: str) -> None:
    assert sentences(text.replace("|", "")) == text.split("|")


@pytest.mark.parametrize(
    "text",
    [
        "เด็ก ๆ เล่น",  # the mark repeats the word before it
        "เด็กๆ เล่น",
        "ฯลฯ และ",  # an abbreviation
        "ปี 1990 และ",
        "ใช้ Python และ",
        "3.14 a.b 1,000",
        "北京、上海，和",
        "किताब, कलम",
    ],
)
def test_no_sentence_ends_at(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't cut snake_case, please.", "Don|'|t|cut|snake_case|,|please|."),
        ("“naïve” café", "“|naïve|”|café"),
        ("re\u0301sume\u0301", "re\u0301sume\u0301"),
        ("北京大学，2026年", "北|京|大|学|，|2026|年"),
        ("コーヒーを ｶﾞｽ", "コ|ー|ヒ|ー|を|ｶﾞ|ｽ"),
        ("한국어 문장", "한국어|문장"),
        ("हिन्दी में", "हिन्दी|में"),
        ("می\u200cشود", "می\u200cشود"),
        ("ภาษาไทยแลนด์", "ภาษ|าไท|ยแล|นด์"),
        ("iPhone北京ไทย", "iPhone|北|京|ไทย"),
        ("👨\u200d👩\u200d👧!👍🏽", "👨\u200d👩\u200d👧|!|👍🏽"),
    ],
)
def test_words_of_many_languages(text: str, expected: str) -> None:
    assert shown(text) == expected.split("|")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("Don't cut, please.", 3),
        ("a → b ≤ c 😀", 6),
        ("नाव नदी पर है।", 4),
        ("船在河上。", 4),
        ("ภาษาไทย แลนด์", 5),
    ],
)
def test_words_are_counted_between_spaces_or_in_scripts_without(text: str, count: int) -> None:
    assert word_count(text) == count


@given(LATIN)
def test_latin_text_has_the_words_that_it_always_had(text: str) -> None:
    text += "…“’”–"
    assert words(text) == [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


@given(ANY)
def test_words_cover_everything_but_spaces_in_order(text: str) -> None:
    position = 0
    for start, end in words(text):
        assert start >= position
        assert not text[position:start].strip()
        assert start < end
        position = end
    assert not text[position:].strip()


@given(ANY)
def test_words_keep_letters_and_their_marks_together(text: str) -> None:
    for start, _ in words(text):
        if start and not text[start - 1].isspace():
            assert not regex.match(r"[\p{M}\p{GCB=Extend}]", text[start])


@given(ANY)
def test_a_cut_between_characters_cuts_none(text: str) -> None:
    ends = {0, *characters(text, 0, len(text))}
    assert len(text) in ends
    for at in range(len(text) + 1):
        assert cuts_character(text, at) == (at not in ends)


def test_a_letter_with_a_thousand_marks_is_no_character_to_wait_for() -> None:
    text = "a" + "\u0301" * 1000
    assert cuts_character(text, 900)
    assert not cuts_character(text, 0)


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("boats", 3, "boa"),
        ("boats", 9, "boats"),
        ("", 3, ""),
        ("ne\u0301e", 2, "n"),
        ("北京大学", 3, "北京大"),
        ("a👩\u200d🚀b", 3, "a"),
        ("e" + "\u0301" * 99, 50, "e" + "\u0301" * 49),
    ],
)
def test_the_beginning_of_a_text_cuts_no_character(text: str, most: int, expected: str) -> None:
    assert beginning(text, most) == expected
