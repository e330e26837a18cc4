from __future__ import annotations

import pytest

from rerank_search.training.data.texts import letters_and_digits


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The River, again!", "the river again", True),
        ("Stra\u00dfe", "STRASSE", True),
        ("\ufb01le 2", "file\u00b2", True),
        ("river", "rivers", False),
        ("\u0915\u093f", "\u0915\u0940", False),
        ("???", "!!!", False),
    ],
)
def test_texts_are_the_same_where_their_letters_and_digits_are(
    one: str, other: str, same: bool
) -> None:
    assert (letters_and_digits(one) == letters_and_digits(other)) is same
