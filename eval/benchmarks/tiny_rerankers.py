"""Tiny random rerankers of every kind that sentence-transformers loads, as files in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

WINDOW = 64
"""Tokens that each of them reads of a pair."""

SIZES: Mapping[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}

CHAT_TEMPLATE = (
    "<|system|>Judge whether the Document meets the requirements. Answer yes or no.\n"
    "<|user|><Instruct>: "
    "{{ messages | selectattr('role', 'eq', 'system') | map(attribute='content') | first"
    " | default('Given a question, find texts that answer it') }}\n"
    "<Query>: {{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first }}"
    "\n<Document>: "
    "{{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first }}"
    "<|user|>\n<|assistant|>"
)
"""Laid out as Qwen3-Reranker's: a system message is the instruction, and an answer is begun."""

CHAT_WINDOW = 160
"""Tokens that a model with ``CHAT_TEMPLATE`` reads, since the template takes some fifty of them."""

_TEXT = """
Judge whether the Document meets the requirements. Answer yes or no. Given a question, find texts
that answer it. Query Instruct Document: where is the boat? The boat is in the harbour. Bread comes
from the oven, and a river runs to the sea. Snow, storms and rain fall in winter; summer is warm.
"""


def tokenizer(
    kind: str, *, window: int = WINDOW, pad: bool = True, template: str | None = None
) -> Any:
    """A byte-level tokenizer with the special tokens of "bert", "roberta" or "decoder"."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    named = {
        "bert": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
        "roberta": {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"},
        "decoder": {"pad": "<pad>", "eos": "<eos>"},
    }[kind]
    special = [*named.values(), "<|system|>", "<|user|>", "<|assistant|>"]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        [_TEXT],
        trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if kind == "bert":
        pair = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
        single = "[CLS]:0 $A:0 [SEP]:0"
    else:
        pair, single = "<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0", "<s>:0 $A:0 </s>:0"
    if kind != "decoder":
        ends = [(named[each], made.token_to_id(named[each])) for each in ("cls", "sep")]
        made.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=ends
        )
    types = ["token_type_ids"] if kind == "bert" else []
    names = {f"{name}_token": token for name, token in named.items() if pad or name != "pad"}
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=window,
        model_input_names=["input_ids", *types, "attention_mask"],
        chat_template=template,
        **names,
    )


def network(
    folder: Path, words: Any, architecture: str, *, deviation: float = 0.2, **settings: Any
) -> Path:
    """A seeded network of transformers with its tokenizer, saved in ``folder``.

    ``deviation`` is that of the weights; rounding errors are the larger, the larger they are.
    """
    import torch
    import transformers

    kind = architecture.partition("For")[0].removesuffix("Model")
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(words), pad_token_id=words.pad_token_id, **{**SIZES, **settings}
    )
    torch.manual_seed(5)
    made = getattr(transformers, architecture)(config)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim > 1:
                weight.normal_(std=deviation)
    made.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def classifier(kind: str, words: str, **settings: Any) -> Callable[[Path], Path]:
    """A maker of sequence classifiers of an architecture, with the tokens of ``words``."""

    def make(folder: Path) -> Path:
        own = {"num_labels": 1, **settings}
        return network(folder, tokenizer(words), f"{kind}ForSequenceClassification", **own)

    return make


def with_prompt(folder: Path) -> Path:
    """A BERT that was trained with a prompt before every query."""
    from sentence_transformers import CrossEncoder

    plain = classifier("Bert", "bert", max_position_embeddings=WINDOW)(folder / "plain")
    prompts = {"query": "find texts: ", "claims": "find claims: "}
    model = CrossEncoder(str(plain), device="cpu", prompts=prompts, default_prompt_name="query")
    model.save_pretrained(str(folder / "prompted"), create_model_card=False)
    return folder / "prompted"


def modular(folder: Path, pooling: str = "cls") -> Path:
    """ModernBERT, a pooling and two dense layers, as in the Ettin rerankers."""
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    base = network(folder / "base", tokenizer("bert"), "ModernBertModel", **MODERN)
    torch.manual_seed(5)
    width = SIZES["hidden_size"]
    modules = [
        Transformer(str(base)),
        Pooling(width, pooling_mode=pooling),
        Dense(width, width, activation_function=torch.nn.GELU()),
        Dense(width, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
    ]
    model = CrossEncoder(modules=modules, device="cpu")
    model.save_pretrained(str(folder / "modular"), create_model_card=False)
    return folder / "modular"


def decoder_in_template(folder: Path) -> Path:
    """A Qwen3 that classifies what a chat template makes of a pair."""
    words = tokenizer("decoder", window=CHAT_WINDOW, template=CHAT_TEMPLATE)
    return network(
        folder,
        words,
        "Qwen3ForSequenceClassification",
        num_labels=1,
        **qwen(CHAT_WINDOW),
    )


def causal(folder: Path, *, template: str | None = CHAT_TEMPLATE, pad: bool = True) -> Path:
    """A Qwen3 that answers yes or no, as Qwen3-Reranker does, with an instruction by default."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder.modules import LogitScore, Transformer

    words = tokenizer("decoder", window=CHAT_WINDOW, pad=pad, template=template)
    base = network(folder / "base", words, "Qwen3ForCausalLM", deviation=0.1, **qwen(CHAT_WINDOW))
    yes, no = words.convert_tokens_to_ids(["yes", "no"])
    modules = [Transformer(str(base), transformer_task="text-generation"), LogitScore(yes, no)]
    prompts = {"web": "Given a search query, find passages"} if template else None
    model = CrossEncoder(
        modules=modules,
        device="cpu",
        prompts=prompts,
        default_prompt_name="web" if template else None,
    )
    model.save_pretrained(str(folder / "causal"), create_model_card=False)
    return folder / "causal"


def generative(folder: Path) -> Path:
    """A Qwen3 alone, without a module that reads its answer, and without a chat template."""
    words = tokenizer("decoder", window=CHAT_WINDOW)
    return network(folder, words, "Qwen3ForCausalLM", deviation=0.1, **qwen(CHAT_WINDOW))


def qwen(window: int) -> dict[str, Any]:
    """The further settings of a Qwen3 that reads so many tokens."""
    return {
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": window,
        "bos_token_id": None,
        "eos_token_id": 1,
    }


OFFSET = {"max_position_embeddings": WINDOW + 2}
"""Positions of an architecture whose first position follows that of its padding token."""

PLAIN = {"max_position_embeddings": WINDOW}

MODERN = {
    **PLAIN,
    **dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), None),
}

RERANKERS: Mapping[str, Callable[[Path], Path]] = {
    "BERT": classifier("Bert", "bert", **PLAIN),
    "RoBERTa": classifier("Roberta", "roberta", **OFFSET),
    "XLM-RoBERTa": classifier("XLMRoberta", "roberta", **OFFSET),
    "DeBERTa-v2": classifier(
        "DebertaV2", "bert", relative_attention=True, pos_att_type=["p2c", "c2p"], **PLAIN
    ),
    "ELECTRA": classifier("Electra", "bert", embedding_size=32, **PLAIN),
    "MPNet": classifier("MPNet", "roberta", **OFFSET),
    "ModernBERT": classifier("ModernBert", "bert", **MODERN),
    "Qwen3": classifier("Qwen3", "decoder", **qwen(WINDOW)),
    "BERT with a prompt": with_prompt,
    "ModernBERT, pooling, dense": modular,
    "Qwen3 in a chat template": decoder_in_template,
    "Qwen3 that answers yes or no, in a chat template": causal,
    "Qwen3 that answers yes or no": generative,
}
"""A maker of each kind, by its name."""
