from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.retrieval.analysis import terms
from rerank_search.retrieval.folding import LONGEST_RUN, folded, nfkc

SAME = [
    ("İstanbul", "istanbul"),
    ("ISTANBUL", "istanbul"),
    ("ΟΔΟΣ", "οδος"),
    ("Ελλάδα", "ΕΛΛΑΔΑ"),
    ("ἀρχή", "αρχη"),
    ("ёлка", "елка"),
    ("за\u0301мок", "замок"),
    ("كِتَاب", "كتاب"),
    ("كـتاب", "كتاب"),
    ("أحمد", "احمد"),
    ("هٰذا", "هذا"),
    ("שָׁלוֹם", "שלום"),
    ("bẹ\u0301ẹ\u0300ni", "beeni"),
    ("Tiếng Việt", "tieng viet"),
    ("Straße", "STRASSE"),
    ("co\u00adoperate", "cooperate"),
    ("zero\u200bwidth", "zerowidth"),
    ("می\u200cخواهم", "میخواهم"),
    ("क्\u200dष", "क्ष"),
    ("\ufeffbread", "bread"),
    ("wa\u2060ter", "water"),
    ("葛\U000e0100城", "葛城"),
    ("п'ять", "пʼять"),
    ("п’ять", "пʼять"),
    ("Hawai'i", "Hawaiʻi"),
    ("Qur'an", "Qurʾān"),
    ("Ali", "ʿAlī"),
    ("Gogol'", "Gogolʹ"),
    ("k'iche'", "kꞌicheꞌ"),
    ("ﬁnd", "find"),
    ("ｶﾞｽ", "ガス"),
    ("カ\u3099ス", "ガス"),
    ("ख\u093cबर", "\u0959बर"),
    ("1\ufe0f\u20e3", "1"),
]
"""Spellings of one word; marks that an editor would compose are written as escapes."""


@pytest.mark.parametrize("analyzer", ["plain", "english"])
@pytest.mark.parametrize(("one", "other"), SAME)
def test_both_spellings_are_the_same_terms(analyzer: str, one: str, other: str) -> None:
    assert terms(analyzer, one) == terms(analyzer, other) != []


@pytest.mark.parametrize(
    "word",
    ["हिन्दी", "தமிழ்", "বাংলা", "ক্ষয়", "ดี", "ດີ", "ဗမာ", "ដី", "నెల్లూరు", "സ്വാഗതം", "བོད"]
    + [one for one, _ in SAME if not {*"'’ "} & {*one}],
)
def test_a_word_with_marks_is_one_term(word: str) -> None:
    assert len(terms("plain", word)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("мой", "мои"),
        ("їх", "іх"),
        ("かき", "がき"),
        ("ดี", "ดำ"),
        ("कर्म", "करम"),
        ("दिन", "दीन"),
        ("ড", "ড়"),
    ],
)
def test_marks_that_make_another_word_are_kept(one: str, other: str) -> None:
    assert terms("plain", one) != terms("plain", other)


def test_zero_width_spaces_divide_words_where_no_others_do() -> None:
    assert terms("plain", "ไป\u200bมา") == ["ไป", "มา"]
    assert terms("plain", "ទៅ\u200bមក") == ["ទៅ", "មក"]


@pytest.mark.parametrize(
    ("clause", "cut"),
    [
        ("ฉันไปบ้านแม่", ["ฉันไปบ", "านแม"]),
        ("ບ້ານນ້ອຍ", ["ບ", "ານນ", "ອຍ"]),
        ("မြန်မာ", ["မြန", "မာ"]),
        ("ខ្មែរ", ["ខ", "មែរ"]),
    ],
)
def test_a_clause_without_spaces_is_cut_at_its_tones_and_viramas(
    clause: str, cut: list[str]
) -> None:
    assert terms("plain", clause) == terms("plain", clause, 1) == cut


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=80))
def test_english_text_has_the_terms_that_it_always_had(text: str) -> None:
    assert terms("english", text) == terms("english", text, 1)


@pytest.mark.slow
@given(st.text(max_size=60))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@pytest.mark.slow
@given(st.text(max_size=60))
def test_no_normal_form_of_a_text_has_other_terms(text: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert terms("plain", unicodedata.normalize(form, text)) == terms("plain", text)


@given(st.text(alphabet="ab é\u0301\u0316\u3099\uff9eか中.!", max_size=LONGEST_RUN))
def test_texts_with_few_marks_are_in_pythons_normal_form(text: str) -> None:
    assert nfkc(text) == unicodedata.normalize("NFKC", text)
