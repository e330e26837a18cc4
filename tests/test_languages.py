from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.languages import MOST_CHARACTERS, language_of

SENTENCES = {
    "ar": "أين يمكنني أن أجد أفضل مطعم في هذه المدينة القديمة؟",
    "bg": "Как мога да стигна до гарата, когато вече няма автобуси и е късно вечер?",
    "cs": "Které vlaky jezdí do Brna, když je v zimě na trati hodně sněhu?",
    "da": "Hvordan kommer jeg hjem, når der ikke længere kører nogen tog efter midnat?",
    "de": "Welche Züge fahren nach Leipzig, wenn die Strecke im Winter gesperrt ist?",
    "el": "Πού μπορώ να βρω ένα φθηνό δωμάτιο κοντά στη θάλασσα;",
    "en": "Which trains go to the coast when the line is closed in winter?",
    "es": "¿Dónde puedo encontrar una habitación barata que esté cerca de la playa?",
    "fi": "Mistä voin löytää huoneen, joka on halpa ja lähellä merta?",
    "fr": "Où est-ce que je peux trouver une chambre qui ne coûte pas trop cher ?",
    "he": "איפה אפשר למצוא חדר זול ליד הים?",
    "hi": "समुद्र के पास सस्ता कमरा कहाँ मिल सकता है और उसका किराया क्या है?",
    "hu": "Hol lehet olyan szobát találni, amely nem drága és közel van a tengerhez?",
    "it": "Dove posso trovare una camera che non costi troppo e sia vicina al mare?",
    "ja": "海の近くで安い部屋はどこにありますか。",
    "km": "តើខ្ញុំអាចរកបន្ទប់ថោកនៅជិតសមុទ្របាននៅឯណា?",
    "ko": "바다 근처에서 싼 방을 어디에서 찾을 수 있나요?",
    "lo": "ຂ້ອຍສາມາດຊອກຫາຫ້ອງລາຄາຖືກໄດ້ຢູ່ໃສ?",
    "my": "ပင်လယ်အနီးတွင် ဈေးပေါသောအခန်းကို ဘယ်မှာရှာနိုင်သလဲ။",
    "nl": "Waar kan ik een kamer vinden die niet te duur is en dicht bij zee ligt?",
    "no": "Hvordan kommer jeg hjem når det ikke går noen tog etter midnatt?",
    "pl": "Gdzie można znaleźć pokój, który nie jest drogi i jest blisko morza?",
    "pt": "Onde é que posso encontrar um quarto que não seja caro e fique perto do mar?",
    "ro": "Unde pot găsi o cameră care nu este scumpă și se află lângă mare?",
    "ru": "Где можно найти недорогую комнату, которая находится рядом с морем?",
    "sv": "Hur kommer jag hem när det inte går några tåg efter midnatt?",
    "ta": "கடலுக்கு அருகில் மலிவான அறை எங்கே கிடைக்கும்?",
    "th": "ฉันจะหาห้องราคาถูกใกล้ทะเลได้ที่ไหน",
    "tr": "Denize yakın ve çok pahalı olmayan bir oda nerede bulunur?",
    "uk": "Де можна знайти недорогу кімнату, яка розташована біля моря?",
    "vi": "Tôi có thể tìm một phòng không quá đắt và gần biển ở đâu?",
    "zh": "在海边哪里可以找到便宜的房间？",
}

CODE = """
for (int i = 0; i < n; ++i) { sum += values[i]; }
return sum / (double) n;
const getUserName = (user) => user?.name ?? "";
"""


@pytest.mark.parametrize("language", SENTENCES)
def test_sentence_has_its_language(language: str) -> None:
    assert language_of(SENTENCES[language]) == language


@pytest.mark.parametrize("language", SENTENCES)
def test_case_does_not_matter(language: str) -> None:
    assert language_of(SENTENCES[language].upper()) == language


@pytest.mark.parametrize(
    "text",
    ["", " \n", "42", "12.5 %", "🙂🙂", "α", "DE-4711-X", "getUserName", "x = y * 2", CODE, "́̈"],
    ids=repr,
)
def test_texts_without_a_language_have_none(text: str) -> None:
    assert language_of(text) is None


def test_language_of_most_letters_counts() -> None:
    assert language_of("Windows 11 und Office: wo ist die Taste, die ich nicht finde?") == "de"
    assert language_of("BSkyB的标清广播兼容什么？") == "zh"
    assert language_of("The word 東京 is the name of the capital, and it is old.") == "en"


def test_long_text_is_read_in_three_parts() -> None:
    header = "This is the header of the mail, and it was written in English by the server. "
    body = SENTENCES["de"] + " "

    assert language_of(header + 50 * body) == "de"
    assert language_of(50 * body + header) == "de"


@given(st.text(max_size=3 * MOST_CHARACTERS))
def test_any_text_has_a_code_of_two_letters_or_none(text: str) -> None:
    language = language_of(text)

    assert language is None or (len(language) == 2 and language.isascii())
