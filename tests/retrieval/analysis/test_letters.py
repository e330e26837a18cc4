"""What holds for each analyzer and any text: no word is lost, whatever its letters are."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.retrieval.analysis import terms
from rerank_search.retrieval.analysis.grams import of_document, of_query
from rerank_search.retrieval.analysis.known import NAMES
from rerank_search.retrieval.folding import Folding
from rerank_search.retrieval.memory import MemoryRetriever
from tests.asked import query_terms

DROPPED = frozenset("ʹʻʼʽʾʿꞋꞌـ")
"""Letters in Unicode that writers leave out: apostrophes, and the one that widens Arabic words."""

SENTENCES = {
    "arabic": "يذهب الأولاد إلى المدرسة في الصباح الباكر",
    "chinese": "孩子们每天早上坐公共汽车去学校",
    "danish": "Børnene løber gennem gården før skoledagen begynder",
    "dutch": "De kinderen fietsen elke morgen naar school",
    "english": "The children walk to school early in the morning",
    "finnish": "Lapset kävelevät kouluun aikaisin aamulla",
    "french": "Les élèves vont à l'école tôt le matin",
    "german": "Die Kinder gehen früh am Morgen über die Brücke zur Schule",
    "greek": "Τα παιδιά πηγαίνουν στο σχολείο νωρίς το πρωί",
    "hebrew": "הילדים הולכים לבית הספר מוקדם בבוקר",
    "hindi": "बच्चे सुबह जल्दी स्कूल जाते हैं",
    "hungarian": "A gyerekek kora reggel iskolába mennek",
    "italian": "I bambini vanno a scuola la mattina perché è presto",
    "japanese": "子供たちは毎朝早く学校へ歩いて行きます",
    "khmer": "ក្មេងៗទៅសាលារៀនពេលព្រឹក",
    "korean": "아이들은 아침 일찍 학교에 걸어갑니다",
    "norwegian": "Barna går tidlig til skolen når det er mørkt",
    "portuguese": "As crianças vão à escola de manhã com seus irmãos",
    "romanian": "Copiii merg dimineața devreme la școală",
    "russian": "Дети рано утром идут в школу по мосту",
    "spanish": "Los niños van a la escuela temprano por la mañana",
    "swedish": "Barnen går tidigt till skolan över ängen",
    "tamil": "குழந்தைகள் காலையில் பள்ளிக்குச் செல்கிறார்கள்",
    "thai": "เด็กๆไปโรงเรียนแต่เช้าทุกวัน",
    "turkish": "Çocuklar sabah erkenden ışıklı yoldan okula gidiyor",
}
"""A sentence in each language, of our own."""


@given(st.characters().filter(str.isalnum))
def test_folding_keeps_each_letter_and_digit(character: str) -> None:
    if character not in DROPPED:
        assert Folding()(character).strip()


@given(st.text(alphabet=st.characters(), max_size=40))
def test_words_of_any_text_are_terms_unless_their_script_has_no_spaces(text: str) -> None:
    words = Folding()(text).lower().split()
    assert terms("multilingual", text) == of_document(" ".join(words)).split()
    if of_query(" ".join(words)) == " ".join(words):
        assert terms("multilingual", text) == words


@pytest.mark.parametrize("script", ["北京水々かナー", "한국어", "มาก่ำ", "ລາວ", "မြန်မာ", "ខ្មែរ"])
@given(st.data())
def test_parts_of_a_run_make_up_the_run(script: str, data: st.DataObject) -> None:
    run = data.draw(st.text(alphabet=script, min_size=1, max_size=20))
    first, *others = of_query(run).split()
    assert first + "".join(part[-1] for part in others) == run
    assert {first, *others} <= {*of_document(run).split()}


@pytest.mark.parametrize("analyzer", NAMES)
@given(st.text(alphabet=st.characters(), max_size=40))
def test_any_text_goes_through_and_no_stem_is_empty(analyzer: str, text: str) -> None:
    assert all(terms(analyzer, text))
    asked = query_terms(analyzer, text)
    if analyzer != "code":  # which also searches neighbouring words of a query as one
        assert {*asked} <= {*terms(analyzer, text)}


@pytest.mark.parametrize(
    "analyzer", sorted({*NAMES} - {"english", "plain", "multilingual", "auto", "code"})
)
@given(st.text(alphabet="aäéñışğ çÅßœøłбйёאؤأ北มா 1", max_size=40))
def test_each_word_has_one_stem(analyzer: str, text: str) -> None:
    assert len(terms(analyzer, text)) == len(terms("multilingual", text))


@pytest.mark.parametrize("analyzer", [name for name in NAMES if name not in ("english", "plain")])
@given(st.text(alphabet="aoué\u0301\u0308\u0327i\u0307Iйиأ \u3099か", max_size=20))
def test_no_normal_form_has_other_terms(analyzer: str, text: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert terms(analyzer, unicodedata.normalize(form, text)) == terms(analyzer, text)


@pytest.mark.parametrize("analyzer", NAMES)
def test_a_text_ranks_first_for_itself(analyzer: str) -> None:
    texts = list(SENTENCES.values())
    found = MemoryRetriever(texts, analyzer=analyzer).retrieve(texts, 1)
    assert [hits[0].id for hits in found] == [str(place) for place in range(len(texts))]


@pytest.mark.parametrize(
    "text", ["ab" * 500_000, "水" * 350_000, "\u0e48" * 350_000, "a " * 10_000]
)
@pytest.mark.parametrize("analyzer", ["multilingual", "turkish"])
def test_long_texts_go_through(analyzer: str, text: str) -> None:
    assert len(query_terms(analyzer, text)) <= len(text)


def test_a_text_of_two_directions_has_the_words_of_both() -> None:
    assert terms("arabic", "\u202bكتاب\u202c Python 3 \u200eספר") == ["كتاب", "python", "3", "ספר"]


@pytest.mark.parametrize("analyzer", NAMES)
def test_lone_marks_are_no_words(analyzer: str) -> None:
    mark = ["mul:"] if analyzer == "auto" else []
    assert terms(analyzer, "\u0301 \u0308 \u064b") == mark
