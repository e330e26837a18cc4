"""Code written for sentence_transformers.CrossEncoder, run with both classes of that name."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sentence_transformers import CrossEncoder as Original
from sentence_transformers.cross_encoder.evaluation import (
    CrossEncoderClassificationEvaluator,
    CrossEncoderCorrelationEvaluator,
    CrossEncoderRerankingEvaluator,
)

from rerank_search import (
    CrossEncoder,
    CrossEncoderReranker,
    Fusion,
    InvalidInputError,
    ModelNotFoundError,
    UnsupportedError,
)
from rerank_search.reranking.fusion import Weights

QUERY = "where is the boat"
TEXTS = [
    "the boat is in the harbour",
    "bread comes from the oven",
    "a river runs to the sea",
    "the snow and the storm in the winter",
]
PAIRS = [(QUERY, text) for text in TEXTS]
IDENTITY = torch.nn.Identity()


@pytest.fixture(scope="module")
def name(tiny_reranker: Path) -> str:
    return str(tiny_reranker)


@pytest.fixture(scope="module")
def original(name):
    return Original(name, device="cpu")


@pytest.fixture
def model(name):
    return CrossEncoder(name, device="cpu")


@pytest.fixture(scope="module")
def shared(name):
    return CrossEncoder(name, device="cpu")


def same(ours, theirs):
    assert type(ours) is type(theirs)
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=1e-5)


def same_ranking(ours, theirs):
    assert [sorted(hit) for hit in ours] == [sorted(hit) for hit in theirs]
    assert [hit["corpus_id"] for hit in ours] == [hit["corpus_id"] for hit in theirs]
    same([hit["score"] for hit in ours], [hit["score"] for hit in theirs])
    assert [hit.get("text") for hit in ours] == [hit.get("text") for hit in theirs]


def both(name, use):
    """The results of ``use`` with either class."""
    return use(CrossEncoder), use(Original)


# The calls of sentence-transformers' documentation


def test_predicting_pairs_as_in_the_readme(name):
    def use(cross_encoder):
        model = cross_encoder(name)
        return model.predict([(QUERY, text) for text in TEXTS])

    same(*both(name, use))


def test_ranking_texts_as_in_the_readme(name):
    def use(cross_encoder):
        model = cross_encoder(name)
        ranks = model.rank(QUERY, TEXTS, return_documents=True)
        return [f"#{rank['corpus_id']} ({rank['score']:.2f}): {rank['text']}" for rank in ranks]

    ours, theirs = both(name, use)
    assert ours == theirs


def test_the_usage_block_of_a_generated_model_card(name, original, tmp_path, monkeypatch):
    shutil.copytree(name, tmp_path / "saved" / "model")
    monkeypatch.chdir(tmp_path)
    original.save_pretrained("card")
    card = (tmp_path / "card" / "README.md").read_text()
    block = next(part for part in card.split("```python")[1:] if "CrossEncoder(" in part)
    code = block.split("```")[0].replace("cross_encoder_model_id", "saved/model")
    theirs: dict[str, object] = {}
    exec(code, theirs)
    ours: dict[str, object] = {}
    exec(code.replace("from sentence_transformers import", "from rerank_search import"), ours)
    same(ours["scores"], theirs["scores"])
    same_ranking(ours["ranks"], theirs["ranks"])


@pytest.mark.process
def test_predicting_with_a_pool_of_processes(model, original):
    pool = model.start_multi_process_pool(["cpu"])
    try:
        found = model.predict([list(pair) for pair in PAIRS], pool=pool, chunk_size=2)
    finally:
        model.stop_multi_process_pool(pool)
    same(found, original.predict([list(pair) for pair in PAIRS]))


@pytest.mark.parametrize(
    "evaluator",
    [
        CrossEncoderRerankingEvaluator(
            [{"query": QUERY, "positive": TEXTS[:1], "documents": TEXTS}], show_progress_bar=False
        ),
        CrossEncoderClassificationEvaluator([list(pair) for pair in PAIRS], [1, 0, 0, 1]),
        CrossEncoderCorrelationEvaluator([list(pair) for pair in PAIRS], [0.9, 0.1, 0.5, 0.4]),
    ],
)
def test_an_evaluator_of_sentence_transformers_takes_the_model(shared, original, evaluator):
    assert evaluator(shared) == pytest.approx(evaluator(original), abs=1e-5)
    assert shared.evaluate(evaluator) == pytest.approx(original.evaluate(evaluator), abs=1e-5)


# Arguments of predict and rank


@pytest.mark.parametrize(
    "options",
    [
        {"sentences": PAIRS},
        {"inputs": PAIRS, "activation_fct": IDENTITY},
        {"sentences": PAIRS, "activation_fct": IDENTITY, "num_workers": 0},
        {"inputs": PAIRS, "num_workers": 2, "convert_to_tensor": True},
        {"inputs": PAIRS, "processing_kwargs": {"text": {"max_length": 12}}},
        {"inputs": PAIRS, "max_length": 12},
        {"inputs": PAIRS, "device": "cpu"},
        {"inputs": PAIRS, "prompt": "find "},
    ],
)
def test_predict_takes_every_argument_of_every_version(shared, original, options):
    same(shared.predict(**options), original.predict(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"activation_fct": IDENTITY},
        {"num_workers": 0, "convert_to_numpy": True},
        {"convert_to_tensor": True, "apply_softmax": True},
        {"top_k": 2},
        {"top_k": 0},
        {"top_k": 99, "return_documents": True, "batch_size": 1, "show_progress_bar": False},
        {"activation_fn": IDENTITY, "return_documents": True, "device": "cpu"},
        {"prompt": "find ", "chunk_size": 3},
    ],
)
@pytest.mark.parametrize("documents", [TEXTS, tuple(TEXTS), np.array(TEXTS), []])
def test_rank_takes_every_argument_of_every_version(shared, original, options, documents):
    ours, theirs = (each.rank(QUERY, documents, **options) for each in (shared, original))
    same_ranking(ours, theirs)


def test_the_logits_of_an_identity_are_those_of_score(shared):
    logits = shared.predict(PAIRS, activation_fct=torch.nn.Identity())
    np.testing.assert_array_equal(logits, shared.score(PAIRS))


def test_earlier_names_work_on_the_reranker_too(name, original):
    reranker = CrossEncoderReranker(name, device="cpu")
    same(
        reranker.predict(sentences=PAIRS, activation_fct=IDENTITY),
        original.predict(PAIRS, activation_fn=IDENTITY),
    )


def test_an_argument_that_is_given_by_both_of_its_names_is_refused(shared):
    with pytest.raises(InvalidInputError, match="activation_fct and activation_fn are the same"):
        shared.predict(PAIRS, activation_fct=IDENTITY, activation_fn=IDENTITY)


def test_an_unknown_argument_of_predict_is_refused(shared):
    with pytest.raises(InvalidInputError, match="predict\\(\\) has no argument 'activation_fm'"):
        shared.predict(PAIRS, activation_fm=IDENTITY)


@pytest.mark.parametrize(
    "inputs",
    [
        np.array(PAIRS),
        np.array(PAIRS, dtype=object),
        pd.DataFrame(PAIRS, columns=["query", "text"]).values,
        pd.DataFrame(PAIRS, columns=["query", "text"]).to_numpy(),
        np.array(PAIRS[0]),
        np.array([], dtype=object),
        tuple(PAIRS),
        [list(pair) for pair in PAIRS],
        list(PAIRS[0]),
        [[np.str_(QUERY), np.str_(TEXTS[0])]],
    ],
)
def test_predict_takes_pairs_in_every_form(shared, original, inputs):
    same(shared.predict(inputs), original.predict(inputs))


def test_predict_takes_rows_of_an_array_as_pairs(shared, original):
    same(shared.predict(list(np.array(PAIRS))), original.predict(PAIRS))


def test_predict_takes_columns_of_a_dataset(shared, original):
    datasets = pytest.importorskip("datasets")
    column = datasets.Dataset.from_dict({"pair": [list(pair) for pair in PAIRS]})["pair"]
    same(shared.predict(column), original.predict(column))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"activation_fn": "sigmoid"}, "activation_fn='sigmoid' cannot be called"),
        ({"prompt_name": "unknown"}, "Prompt name 'unknown' not found"),
        ({"batch_size": 2.5}, "batch_size=2.5 is not a whole number"),
        ({"device": "tpu"}, "the device 'tpu' cannot be used"),
        ({"prompt": 5}, "prompt=5 is not a string"),
        ({"pool": 5}, "sentence-transformers cannot score this"),
        ({"processing_kwargs": 5}, "sentence-transformers cannot score this"),
        ({"chunk_size": "two"}, "chunk_size='two' is not a whole number"),
    ],
)
def test_a_value_that_predict_cannot_use_is_a_typed_error(shared, options, named):
    with pytest.raises(InvalidInputError, match=named):
        shared.predict(PAIRS, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.predict(), r"^CrossEncoder\.predict\(\): missing .* 'inputs'"),
        (lambda model: model.rank(QUERY), r"^CrossEncoder\.rank\(\): missing .* 'documents'"),
        (lambda model: model.rank(QUERY, TEXTS, top=1), r"^CrossEncoder\.rank\(\): .* 'top'"),
        (lambda model: model.to(devise="cpu"), r"^CrossEncoder\.to\(\): .* 'devise'"),
    ],
)
def test_a_missing_or_unknown_argument_is_a_type_error_of_the_users_class(shared, call, message):
    with pytest.raises(TypeError, match=message):
        call(shared)


@pytest.mark.parametrize("pairs", [None, 5, "ab", {QUERY: TEXTS[0]}])
def test_score_says_what_is_no_list_of_pairs(shared, pairs):
    with pytest.raises(InvalidInputError, match=r"give a list of \(query, text\) pairs"):
        shared.score(pairs)


def test_what_is_no_device_is_a_typed_error(model):
    with pytest.raises(InvalidInputError, match=r"to\(5\.5\): give a device or a dtype"):
        model.to(5.5)


def test_a_missing_text_of_a_table_is_named(shared):
    table = pd.DataFrame([(QUERY, "a boat"), (QUERY, None)])
    with pytest.raises(InvalidInputError, match=r"pair 1 is .*: give a query and a text"):
        shared.predict(table.values)


@pytest.mark.parametrize("inputs", [np.array([1.0, 2.0]), np.array("a"), 5, None, iter(PAIRS)])
def test_what_is_no_pair_of_strings_is_refused(shared, inputs):
    with pytest.raises(InvalidInputError, match="give a query and a text, both strings"):
        shared.predict(inputs)


def test_rank_refuses_one_string_as_its_documents(shared):
    with pytest.raises(InvalidInputError, match="is one string"):
        shared.rank(QUERY, "the boat")


def test_rank_refuses_a_top_k_that_is_no_whole_number(shared):
    with pytest.raises(InvalidInputError, match=r"top_k=2\.0 is not a whole number"):
        shared.rank(QUERY, TEXTS, top_k=2.0)


# Arguments of the constructor


def test_the_constructor_has_every_argument_of_the_original():
    ours = inspect.signature(CrossEncoder).parameters
    assert set(inspect.signature(Original).parameters) <= set(ours)


@pytest.mark.parametrize(
    "options",
    [
        {"num_labels": 1},
        {"max_length": 12},
        {"activation_fn": IDENTITY},
        {"default_activation_function": IDENTITY},
        {"trust_remote_code": False, "local_files_only": True, "token": None, "revision": None},
        {"model_kwargs": {"torch_dtype": torch.float32, "attn_implementation": "eager"}},
        {"automodel_args": {"torch_dtype": "float32"}},
        {"tokenizer_args": {"model_max_length": 12}},
        {"tokenizer_kwargs": {"do_lower_case": True}},
        {"processor_kwargs": {"truncation_side": "right"}},
        {"config_args": {"num_labels": 1}},
        {"max_length": 12, "tokenizer_kwargs": {"model_max_length": 9}},
        {"config_kwargs": {"hidden_act": "relu"}},
        {"classifier_dropout": 0.2},
        {"cache_dir": "/nowhere", "keep_in_fp32_modules": []},
        {"cache_folder": "/nowhere"},
        {"prompts": {"query": "find "}, "default_prompt_name": "query"},
        {"backend": "torch"},
    ],
)
def test_the_constructor_takes_every_argument_of_every_version(name, options):
    def use(cross_encoder):
        # sentence-transformers changes the given dictionaries.
        own = {key: dict(v) if isinstance(v, dict) else v for key, v in options.items()}
        return cross_encoder(name, device="cpu", **own).predict(PAIRS)

    same(*both(name, use))


@pytest.mark.parametrize("argument", ["model_name_or_path", "model_name"])
def test_the_model_is_named_by_any_of_its_names(name, original, argument):
    same(CrossEncoder(**{argument: name}, device="cpu").predict(PAIRS), original.predict(PAIRS))


def test_arguments_by_position_are_those_of_earlier_versions(name):
    same(*both(name, lambda kind: kind(name, 1, 12, IDENTITY, "cpu").predict(PAIRS)))


def test_too_many_arguments_by_position_are_refused(name):
    with pytest.raises(InvalidInputError, match="6 positional arguments are too many"):
        CrossEncoder(name, 1, 12, IDENTITY, "cpu", {})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"trust_remote_code": True}, "trust_remote_code=True is not supported"),
        ({"model_kwargs": {"trust_remote_code": True}}, "trust_remote_code=True is not supported"),
        ({"modules": [torch.nn.Linear(1, 1)]}, "modules= is not supported"),
        ({"model_kwargs": {"device_map": "auto"}}, "device_map='auto' is not supported"),
        ({"model_kwargs": {"file_name": "x.onnx"}}, "file_name='x.onnx' is not supported"),
        ({"model_kwargs": {"use_safetensors": False}}, "use_safetensors=False is not supported"),
        ({"keep_in_fp32_modules": ["0.model.classifier"]}, "keep_in_fp32_modules="),
        ({"num_labels": 3}, "num_labels=3, but .* has 1"),
        ({"config_kwargs": {"num_labels": 2}}, "num_labels=2, but .* has 1"),
        ({"config_kwargs": {"hidden_layers": 2}}, "a BertConfig has no 'hidden_layers'"),
        ({"model_kwargs": {"attention": "eager"}}, "cannot be loaded with model_kwargs"),
        (
            {"model_kwargs": {"torch_dtype": torch.float64}},
            "dtype=float64 is unknown: use one of float32",
        ),
        ({"backend": "jax"}, "backend='jax' is unknown: use one of"),
        ({"activation_fn": "sigmoid"}, "activation_fn='sigmoid' cannot be called"),
        ({"model_kwargs": 5}, "model_kwargs=5 is not a mapping"),
        ({"token": 5}, "token=5 cannot be used: give a string"),
        ({"config_kwargs": {"token": 5}}, "token=5 cannot be used: give a string"),
        ({"revision": 5}, "revision=5 cannot be used: give a string"),
        ({"cache_dir": 5}, "cache_folder=5 cannot be used: give a path"),
        ({"local_files_only": "no"}, "local_files_only='no' cannot be used: give True or False"),
        ({"trust_remote_code": "no"}, "trust_remote_code='no' cannot be used: give True or False"),
        ({"prompts": {"query": 5}}, "prompts has 'query': 5: give strings"),
        ({"num_labels": "1"}, "num_labels='1' is not a whole number"),
        ({"model_kwargs": {"torch_dtype": "float16", "dtype": "float32"}}, "differ: give one"),
        ({"dtype": "float32", "model_kwargs": {"dtype": "float16"}}, "differ: give one"),
        ({"classifier_dropout": "much"}, "cannot be loaded with config_kwargs"),
        ({"default_prompt_name": "query"}, "cannot be loaded with default_prompt_name"),
        ({"model_name": "another"}, "model_name and model_name_or_path are the same argument"),
    ],
)
def test_what_is_left_out_or_wrong_is_named(name, options, named):
    with pytest.raises(InvalidInputError, match=named):
        CrossEncoder(model_name_or_path=name, device="cpu", **options)


def test_an_unknown_argument_is_a_type_error_as_everywhere(name):
    with pytest.raises(TypeError, match="unknown"):
        CrossEncoder(name, unknown=1)


def test_a_name_without_an_organisation_is_one_of_cross_encoder():
    with pytest.raises(ModelNotFoundError, match="'cross-encoder/ms-marco-MiniLM-L6-v2'"):
        CrossEncoder("ms-marco-MiniLM-L6-v2", local_files_only=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, "bfloat16"])
def test_a_dtype_of_torch_is_what_the_model_is_computed_in(name, original, dtype):
    model = CrossEncoder(name, device="cpu", model_kwargs={"torch_dtype": dtype})
    assert model.dtype == "bfloat16"
    np.testing.assert_allclose(model.predict(PAIRS), original.predict(PAIRS), atol=0.1)


def test_options_of_the_model_are_part_of_what_its_scores_are_known_by(name, shared):
    other = CrossEncoder(name, device="cpu", config_kwargs={"hidden_act": "relu"})
    assert other.fingerprint != shared.fingerprint
    plain = CrossEncoder(name, device="cpu", trust_remote_code=False, prompts={"query": ""})
    assert plain.fingerprint == shared.fingerprint == CrossEncoderReranker(name).fingerprint


# Attributes and other methods


def test_it_is_a_reranker_of_this_package(shared):
    assert isinstance(shared, CrossEncoderReranker)


def test_the_network_and_its_parts_are_those_of_transformers(model, original):
    assert type(model.model) is type(original.model)
    assert type(model.transformers_model) is type(original.transformers_model)
    assert type(model.tokenizer) is type(original.tokenizer)
    assert model.config.to_dict() == original.config.to_dict()
    weights = model.model.state_dict()
    assert weights.keys() == original.model.state_dict().keys()
    assert sum(p.numel() for p in model.parameters()) == sum(
        p.numel() for p in original.parameters()
    )
    encoded = model.tokenizer(QUERY, TEXTS[0])
    assert encoded.input_ids == original.tokenizer(QUERY, TEXTS[0]).input_ids
    assert model.max_length == model.max_seq_length == original.max_seq_length
    assert model.prompts == original.prompts
    assert model.default_prompt_name is None
    assert type(model.default_activation_function) is torch.nn.Sigmoid
    features = model.preprocess([list(PAIRS[0])])
    assert features["input_ids"].tolist() == [encoded.input_ids]


def test_moving_and_switching_modes_return_the_model(model):
    expected = model.predict(PAIRS)
    assert model.to("cpu") is model
    assert model.to(torch.device("cpu")) is model
    assert model.to(device="cpu", dtype=torch.float32) is model
    assert model.cpu().eval().train(False) is model
    same(model.predict(PAIRS), expected)


def test_casting_changes_what_the_model_is_computed_in(model):
    assert model.bfloat16().dtype == "bfloat16"
    assert model.to(torch.float16).dtype == "float16"
    assert model.float().dtype == "float32"


def test_a_device_that_is_not_there_is_a_typed_error(model):
    with pytest.raises(InvalidInputError, match="'cuda:99' cannot be used"):
        model.to("cuda:99")
    assert model.device.type == "cpu"


@pytest.mark.parametrize("method", ["save_pretrained", "save"])
def test_a_saved_model_has_the_same_scores_in_both_classes(model, tmp_path, method):
    getattr(model, method)(str(tmp_path / "saved"))
    expected = model.predict(PAIRS)
    same(CrossEncoder(str(tmp_path / "saved"), device="cpu").predict(PAIRS), expected)
    same(Original(str(tmp_path / "saved"), device="cpu").predict(PAIRS), expected)


def test_a_saved_model_keeps_its_fusion_and_its_activation(name, tmp_path):
    shutil.copytree(name, tmp_path / "fused")
    Fusion([Weights(-1.0, {"rerank": 0.5})]).save(tmp_path / "fused")
    model = CrossEncoder(str(tmp_path / "fused"), device="cpu", activation_fn=torch.nn.Tanh())
    model.save_pretrained(str(tmp_path / "saved"))
    saved = CrossEncoder(str(tmp_path / "saved"), device="cpu")
    assert saved.fusion.signals == {"rerank"}
    settings = json.loads((tmp_path / "saved" / "config_sentence_transformers.json").read_text())
    assert settings["activation_fn"].endswith("Tanh")
    same(saved.predict(PAIRS), model.predict(PAIRS))


def test_a_new_activation_counts(model, name):
    model.activation_fn = torch.nn.Tanh()
    theirs = Original(name, device="cpu")
    theirs.activation_fn = torch.nn.Tanh()
    same(model.predict(PAIRS), theirs.predict(PAIRS))
    same_ranking(model.rank(QUERY, TEXTS), theirs.rank(QUERY, TEXTS))


def test_a_new_window_counts(model, name):
    model.max_length = 12
    theirs = Original(name, device="cpu")
    theirs.max_seq_length = 12
    same(model.predict(PAIRS), theirs.predict(PAIRS))


def test_weights_that_are_changed_count_and_are_not_searched_with(model, name):
    before = model.predict(PAIRS)

    def change(any_model):
        with torch.no_grad():
            any_model.model.classifier.bias.add_(1.0)
        return any_model.predict(PAIRS)

    ours, theirs = change(model), change(Original(name, device="cpu"))
    same(ours, theirs)
    assert not np.allclose(ours, before)
    with pytest.raises(InvalidInputError, match="were changed, and score"):
        model.score(PAIRS)
    with pytest.raises(InvalidInputError, match="a pickle would lose"):
        model.half()


def test_a_window_that_is_changed_on_the_tokenizer_counts(model, name):
    theirs = Original(name, device="cpu")
    for each in (model, theirs):
        each.tokenizer.model_max_length = 12
    same(model.predict(PAIRS), theirs.predict(PAIRS))


def test_looking_at_the_network_changes_nothing(model):
    before = model.predict(PAIRS)
    assert model.model.eval().config.num_labels == 1
    np.testing.assert_array_equal(model.predict(PAIRS), before)
    np.testing.assert_array_equal(model.score(PAIRS), model.score(PAIRS))


@pytest.mark.parametrize("method", ["fit", "compile", "smart_batching_collate"])
def test_methods_that_are_left_out_say_so(model, method):
    with pytest.raises(UnsupportedError, match=f"{method}\\(\\) is not supported: "):
        getattr(model, method)()
    assert not hasattr(model, method)


def test_training_mode_is_left_out(model):
    with pytest.raises(UnsupportedError, match="train\\(\\) is not supported"):
        model.train()


def test_an_attribute_that_neither_class_has_is_an_attribute_error(model):
    with pytest.raises(AttributeError, match="'CrossEncoder' object has no attribute 'modle'"):
        _ = model.modle
