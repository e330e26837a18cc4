"""The tokenizer of a BERT in a folder, read without transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_search.models.plain import NotPlainError, read_json, require

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
"""Default special tokens of transformers' BertTokenizer."""

INPUT_NAMES = ("input_ids", "token_type_ids", "attention_mask")

FIXED: Mapping[str, tuple[Any, ...]] = {
    "add_prefix_space": (False,),
    "additional_special_tokens": (None, [], {}),
    "do_basic_tokenize": (True,),
    "extra_special_tokens": (None, [], {}),
    "never_split": (None, []),
    "pad_to_multiple_of": (None,),
    "pad_token_type_id": (0,),
    "padding_side": ("right",),
    "split_special_tokens": (False,),
    "truncation_side": ("right",),
}
"""Settings with the only values that are accepted."""

WITHOUT_EFFECT = {
    "backend",
    "clean_up_tokenization_spaces",
    "from_slow",
    "is_local",
    "local_files_only",
    "max_length",
    "name_or_path",
    "special_tokens_map_file",
    "stride",
    "tokenizer_file",
    "truncation_strategy",
    "use_fast",
}
"""Settings that do not change how a text is tokenised."""

READ = {
    "added_tokens_decoder",
    "do_lower_case",
    "model_input_names",
    "model_max_length",
    "strip_accents",
    "tokenize_chinese_chars",
    "tokenizer_class",
    *SPECIAL,
}

AS_IT_IS = {"TokenizersBackend", "PreTrainedTokenizerFast"}
"""Classes of transformers that use tokenizer.json unchanged; BertTokenizer rebuilds it."""

MOST_TOKENS = 100_000
"""Largest accepted vocabulary; transformers may correct a larger one."""


class BertTokenizer:
    """A tokenizer with the part of transformers' interface that this package uses.

    ``model_max_length`` is the window that ``__call__`` cuts to.
    """

    is_fast = True
    truncation_side = padding_side = "right"

    def __init__(
        self, tokenizer: Tokenizer, pad_token_id: int, names: Sequence[str], window: int
    ) -> None:
        self.backend_tokenizer = tokenizer
        self.pad_token_id = pad_token_id
        self.model_input_names = list(names)
        self.model_max_length = window

    def __call__(
        self,
        text: str | Sequence[str],
        text_pair: str | Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool = False,
        max_length: int | None = None,
        padding: bool = False,
        return_attention_mask: bool = True,
        return_offsets_mapping: bool = False,
        verbose: bool = True,
    ) -> dict[str, Any]:
        """Ids, types and masks of one text or many; ``padding`` makes all as long as the longest.

        One thread at a time: the tokenizer stores the length that it cuts to.
        """
        backend = self.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        if truncation:
            backend.enable_truncation(max_length or self.model_max_length, strategy="longest_first")
        if padding:
            backend.enable_padding(pad_id=self.pad_token_id)
        inputs: Any = [text] if isinstance(text, str) else text
        if text_pair is not None:
            pairs = [text_pair] if isinstance(text_pair, str) else text_pair
            inputs = list(zip(inputs, pairs, strict=True))
        encodings = backend.encode_batch(list(inputs), add_special_tokens=add_special_tokens)
        columns: dict[str, list[Any]] = {
            "input_ids": [each.ids for each in encodings],
            "token_type_ids": [each.type_ids for each in encodings],
        }
        if return_attention_mask:
            columns["attention_mask"] = [each.attention_mask for each in encodings]
        columns = {name: found for name, found in columns.items() if name in self.model_input_names}
        if return_offsets_mapping:
            columns["offset_mapping"] = [each.offsets for each in encodings]
        if isinstance(text, str):
            return {name: found for name, [found] in columns.items()}
        return columns

    def tokenize(self, text: str) -> list[str]:
        """All tokens of a text, without special tokens. One thread at a time."""
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        return self.backend_tokenizer.encode(text, add_special_tokens=False).tokens


def read_tokenizer(
    folder: Path, config: Mapping[str, Any], *, window: int | None, positions: int
) -> BertTokenizer:
    """The tokenizer as transformers would load it. Raises NotPlainError if that is not certain.

    ``config`` is the model's configuration. ``window`` is the window in sentence-transformers'
    settings, None if they have none.
    """
    settings = read_json(folder / "tokenizer_config.json")
    require(set(settings) <= {*FIXED, *WITHOUT_EFFECT, *READ}, "settings of the tokenizer")
    for name, allowed in FIXED.items():
        require(settings.get(name, allowed[0]) in allowed, f"{name} of the tokenizer")
    require(not (folder / "added_tokens.json").exists(), "added_tokens.json")
    require(not list(folder.glob("*chat_template*")), "a chat template")
    kind = settings.get("tokenizer_class") or config.get("tokenizer_class") or "BertTokenizer"
    rebuilt = kind in ("BertTokenizer", "BertTokenizerFast")
    require(rebuilt or kind in AS_IT_IS, f"a {kind}")

    file = read_json(folder / "tokenizer.json")
    special = {**(SPECIAL if rebuilt else {}), **_special(folder, settings)}
    _check_added(file, settings, special, rebuilt=rebuilt)
    _check_directions(file)
    if rebuilt:
        _check_as_rebuilt(file, settings, special)

    from tokenizers import Tokenizer

    # Any error here comes from the files that were read: transformers reports it better.
    tokenizer = Tokenizer.from_str(json.dumps(file))
    require(tokenizer.post_processor is not None, "a tokenizer without special tokens")
    size = tokenizer.get_vocab_size()
    require(len(file["added_tokens"]) < size <= MOST_TOKENS, "its vocabulary")
    names = settings.get("model_input_names", INPUT_NAMES if rebuilt else ())
    require({"input_ids", "attention_mask"} <= set(names) <= set(INPUT_NAMES), "its inputs")
    pad = tokenizer.token_to_id(special.get("pad_token", ""))
    if pad is None:
        raise NotPlainError("a tokenizer without padding")
    own = settings.get("model_max_length", positions)
    require(type(own) is int and own > 0, "model_max_length")
    return BertTokenizer(tokenizer, pad, names, min(own, positions) if window is None else window)


def _special(folder: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens that the settings name."""
    beside = folder / "special_tokens_map.json"
    mapped = read_json(beside) if beside.exists() else {}
    require(set(mapped) <= set(SPECIAL), "special_tokens_map.json")
    found = {name: _content(settings[name]) for name in SPECIAL if settings.get(name) is not None}
    for name, token in mapped.items():
        require(found.setdefault(name, _content(token)) == _content(token), name)
    return found


def _content(token: Any) -> str:
    content = token["content"] if isinstance(token, dict) else token
    require(isinstance(content, str), "a special token")
    return str(content)


def _check_added(
    file: Mapping[str, Any],
    settings: Mapping[str, Any],
    special: Mapping[str, str],
    *,
    rebuilt: bool,
) -> None:
    """Require plain special tokens; a rebuilt tokenizer may have no other added token."""
    added = {token["content"]: token for token in file["added_tokens"]}
    require(set(special.values()) <= set(added), "special tokens that are not in tokenizer.json")
    for content, token in added.items():
        flags = ("single_word", "lstrip", "rstrip", "normalized")
        plain = token["special"] is True and not any(token[flag] for flag in flags)
        require(plain, f"the added token {content}")
        if rebuilt:
            require(content in special.values(), f"the added token {content}")
            require(file["model"]["vocab"].get(content) == token["id"], f"the id of {content}")
    decoder = settings.get("added_tokens_decoder")
    if decoder is not None:
        told = {int(id): token for id, token in decoder.items()}
        own = {t["id"]: {name: t[name] for name in t if name != "id"} for t in added.values()}
        require(told == own, "added_tokens_decoder")


def _check_directions(file: Mapping[str, Any]) -> None:
    for part in (file.get("truncation"), file.get("padding")):
        require((part or {}).get("direction", "Right") == "Right", "a direction other than right")


def _check_as_rebuilt(
    file: Mapping[str, Any], settings: Mapping[str, Any], special: Mapping[str, str]
) -> None:
    """Require tokenizer.json to match what BertTokenizer rebuilds from vocabulary and settings."""
    vocabulary = file["model"]["vocab"]
    cls, sep, unknown = (special[name] for name in ("cls_token", "sep_token", "unk_token"))
    model = {name: value for name, value in file["model"].items() if name != "vocab"}
    expected = {
        "unk_token": unknown,
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    }
    require({"type": "WordPiece", **model} == {"type": "WordPiece", **expected}, "its model")
    require(file["pre_tokenizer"] == {"type": "BertPreTokenizer"}, "its pre_tokenizer")
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
        "strip_accents": settings.get("strip_accents"),
        "lowercase": settings.get("do_lower_case", True),
    }
    require(file["normalizer"] == normalizer, "its normalizer")
    parts = [_token(cls, 0), _text("A", 0), _token(sep, 0), _text("B", 1), _token(sep, 1)]
    template = {
        "type": "TemplateProcessing",
        "single": parts[:3],
        "pair": parts,
        "special_tokens": {
            token: {"id": token, "ids": [vocabulary[token]], "tokens": [token]}
            for token in (cls, sep)
        },
    }
    require(file["post_processor"] == template, "its post_processor")


def _token(token: str, type_id: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": token, "type_id": type_id}}


def _text(name: str, type_id: int) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": type_id}}
