from __future__ import annotations

import copy
import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from rerank_search.errors import InvalidInputError
from rerank_search.reranking.pairs import QUERY_SHARE, PairTokenizer

WINDOW = 24
SPECIALS = 3
words = st.lists(st.sampled_from(["boat", "river", "bread", "zzq", "a", "😀"]), max_size=60)


@pytest.fixture(scope="module")
def tokenizer(tiny_reranker: Path):
    return AutoTokenizer.from_pretrained(tiny_reranker)


@pytest.fixture(scope="module")
def pairs(tokenizer):
    return PairTokenizer(tokenizer, WINDOW)


@given(query=words, text=words)
@settings(max_examples=60)
def test_pairs_are_laid_out_and_cut_as_by_the_models_own_tokenizer(tokenizer, pairs, query, text):
    pair = (" ".join(query), " ".join(text))
    [encoded] = pairs.encode([pair])
    expected = tokenizer(*pair)
    left, right = (len(tokenizer(side, add_special_tokens=False).input_ids) for side in pair)

    assert encoded.truncated == (left + right + SPECIALS > WINDOW)
    if left <= (WINDOW - SPECIALS) * QUERY_SHARE and right > 0:
        expected = tokenizer(*pair, truncation="only_second", max_length=WINDOW)
        assert encoded.ids.tolist() == expected.input_ids
        assert encoded.types.tolist() == expected.token_type_ids
    assert len(encoded.ids) == min(left + right + SPECIALS, WINDOW)


@given(query=words, text=words)
@settings(max_examples=60)
def test_windows_overlap_fit_and_cover_the_whole_text(tokenizer, pairs, query, text):
    whole = " ".join(text)
    [windows] = pairs.windows([(" ".join(query), whole)])

    assert all(len(window.ids) <= WINDOW for window in windows)
    if len(windows) == 1:
        assert windows[0].span is None
        return
    assert len({len(window.ids) for window in windows}) == 1
    spans = [window.span for window in windows]
    assert spans[0][0] == 0
    assert spans[-1][1] == len(whole)
    for (start, end), (next_start, next_end) in itertools.pairwise(spans):
        assert start < next_start < end < next_end


@pytest.fixture(scope="module")
def slow_tokenizer(tmp_path_factory):
    from transformers import BertTokenizerLegacy

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "boat", "river", "bread", "a"]
    path = tmp_path_factory.mktemp("slow") / "vocab.txt"
    path.write_text("\n".join(vocabulary))
    return BertTokenizerLegacy(vocab_file=str(path))


@pytest.mark.parametrize("window", [WINDOW, WINDOW + 1])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["tokenizer", "slow_tokenizer"])
@given(query=words, text=words)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_longest_first_cuts_as_transformers_does(request, kind, side, window, query, text):
    # In that case transformers omits the separator after an empty text if the query is cut.
    assume(text or kind == "tokenizer" or side == "right")
    tokenizer = copy.deepcopy(request.getfixturevalue(kind))
    tokenizer.truncation_side = side
    pair = (" ".join(query), " ".join(text))
    expected = tokenizer([list(pair)], truncation="longest_first", max_length=window)
    [encoded] = PairTokenizer(tokenizer, window).encode([pair], longest_first=True)
    assert encoded.ids.tolist() == expected["input_ids"][0]
    if "token_type_ids" in expected:
        assert encoded.types.tolist() == expected["token_type_ids"][0]


def test_a_text_that_fits_exactly_is_one_window(pairs):
    [fits], [above, *_] = pairs.windows([("boat", "river " * 20), ("boat", "river " * 21)])
    assert fits.span is None
    assert above.span is not None


def test_a_window_without_room_is_refused(tokenizer):
    with pytest.raises(InvalidInputError, match="max_length=4"):
        PairTokenizer(tokenizer, 4)


def test_a_long_word_free_text_is_read_to_its_first_words(pairs):
    [encoded] = pairs.encode([("boat", " " * 10_000 + "river bread")])
    [expected] = pairs.encode([("boat", "river bread")])
    assert encoded.ids.tolist() == expected.ids.tolist()
    assert not encoded.truncated


@pytest.mark.parametrize("piece", ["中", "?!", "boat,", "😀.", "z\u0301-"])
def test_a_long_text_without_a_space_is_cut_as_by_the_models_own_tokenizer(tokenizer, pairs, piece):
    pair = ("boat", piece * 20_000)
    [encoded] = pairs.encode([pair])
    expected = tokenizer(*pair, truncation="only_second", max_length=WINDOW)
    assert encoded.ids.tolist() == expected.input_ids
    assert encoded.truncated


def test_one_word_of_any_length_is_one_unknown_token_and_fits(pairs):
    [encoded] = pairs.encode([("boat", "z" * 500_000)])
    [expected] = pairs.encode([("boat", "z" * 500)])
    assert encoded.ids.tolist() == expected.ids.tolist()
    assert not encoded.truncated


def test_a_long_query_without_a_space_is_cut_too(pairs):
    [encoded] = pairs.encode([("中" * 200_000, "boat")])
    assert len(encoded.ids) == WINDOW
    assert encoded.truncated
