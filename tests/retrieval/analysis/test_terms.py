from concurrent.futures import ThreadPoolExecutor

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.retrieval.analysis import terms


def test_english_folds_case_accents_and_endings() -> None:
    assert terms("english", "Running Cafés") == ["run", "cafe"]


def test_plain_does_not_stem() -> None:
    assert terms("plain", "Running Cafés") == ["running", "cafes"]


def test_names_of_code_are_split_at_their_punctuation() -> None:
    assert terms("plain", "os.path.join(read_csv)") == ["os", "path", "join", "read", "csv"]


def test_both_spellings_of_an_accented_letter_are_one_word() -> None:
    assert terms("plain", "re\u0301sume\u0301") == terms("plain", "résumé") == ["resume"]


def test_repetitions_stay() -> None:
    assert terms("plain", "to be to") == ["to", "be", "to"]


def test_punctuation_and_nul_are_no_words() -> None:
    assert terms("plain", '"(:&\x00)" \x00 --') == []


def test_unknown_analyzer_names_those_there_are() -> None:
    with pytest.raises(InvalidInputError, match=r"'latin'.*english, plain"):
        terms("latin", "x")


@pytest.mark.parametrize(("given", "meant"), [("English", "english"), ("DE ", "de")])
def test_names_are_in_small_letters_and_the_error_says_so(given: str, meant: str) -> None:
    with pytest.raises(InvalidInputError, match=f"did you mean {meant!r}"):
        terms(given, "x")


@pytest.mark.parametrize("given", ["polish", "", None, 3])
def test_another_language_is_not_suggested(given: object) -> None:
    with pytest.raises(InvalidInputError, match=r"there is no analyzer (?!.*did you mean)"):
        terms(given, "x")  # type: ignore[arg-type]


def test_threads_share_an_analyzer() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: tuple(terms("english", "a b " * 200)), range(200)))
    assert len(found) == 1
