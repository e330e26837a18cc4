"""Tiny real models, made once per session: a BERT with 2 layers of 32 units and seeded weights."""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import shutil
import signal
import string
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

from tests import memory_disk, warm
from tests.postgres import Postgres, database
from tests.waiting import until

# Before the libraries are imported: no test may reach a model hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Haystack would send usage data to its makers.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
# No test may measure the fastest backend, unless it is about that.
os.environ["RERANK_SEARCH_BACKEND"] = "torch"
os.environ["RERANK_SEARCH_DTYPE"] = "float32"
# No test may depend on the width of the terminal, also under pytest-xdist.
os.environ.pop("COLUMNS", None)
if memory_disk.usable():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", memory_disk.FOLDER)

import hypothesis
import torch

torch.set_num_threads(1)
# The same examples each time, so that a failure is of the change at hand. The first example of a
# test may import a library for seconds.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.register_profile("new", deadline=None, max_examples=500)
hypothesis.settings.load_profile("same")

WORDS = """
the a an of to in on at for with by from and or not is are was were be it this that these
how what when where why which who do does can file files path paths folder directory join
split read write open close line lines text string number list dict set sort search find
index query document passage score rank model token word sentence bird river mountain sea
boat harbour bridge tower garden apple pear bread cheese kitchen oven winter summer rain snow
storm train station engine wheel music violin song paint colour red green blue old new long
short fast slow small large first second last answer question fact city village king queen
"""
MAX_LENGTH = 64
HIDDEN = 32


# Collections of garbage leave out the million objects of the libraries that tests import.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    if session.config.pluginmanager.hasplugin("dsession"):  # other processes run the tests
        return (yield)
    with warm.server():
        return (yield)


def _tokenizer() -> Any:
    """WordPiece over WORDS; other printable ASCII words are split into characters."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = string.ascii_lowercase + string.digits
    pieces = [*special, *letters, *("##" + letter for letter in letters), *string.punctuation]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys([*pieces, *WORDS.split()]))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
    )


def _bert(directory: Path, kind: str, **options: Any) -> Path:
    """A seeded BERT whose outputs depend mostly on the words of the text."""
    import transformers

    tokenizer = _tokenizer()
    torch.manual_seed(7)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=MAX_LENGTH,
        initializer_range=0.3,
        **options,
    )
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "word_embeddings" in name:
                weight.div_(config.initializer_range)
            elif "output" in name or "position" in name or "token_type" in name:
                weight.mul_(0.1 if weight.ndim == 2 else 1.0)
            elif name == "classifier.weight":
                weight.mul_(10)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def make_tiny_encoder(folder: Path) -> Path:
    """A SentenceTransformer below ``folder``: 32 dimensions, window 64, mean pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import (
        Normalize,
        Pooling,
        Transformer,
    )

    base = _bert(folder / "tiny-bert", "BertModel")
    directory = folder / "tiny-encoder"
    modules = [Transformer(str(base), max_seq_length=MAX_LENGTH), Pooling(HIDDEN), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(directory), create_model_card=False)
    return directory


@pytest.fixture(scope="session")
def in_child() -> Callable[[Callable[[], object]], bool]:
    """Tells whether a function returns something true in a forked process, within a minute."""

    def run(work: Callable[[], object]) -> bool:
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if work() else 1)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(2)
        try:
            # Its end is waited for, and it is left for the call below to see how it ended.
            until(lambda: os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT))
        except AssertionError:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        return status == 0

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of this many kB, at the same path each time; its files are kept."""
    disk = tmp_path / "disk"

    def sized(kilobytes: int) -> Path:
        options = f"remount,size={kilobytes}k" if disk.exists() else f"size={kilobytes}k"
        disk.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            disk.rmdir()
            pytest.skip("mounting a small disk takes more rights than there are here")
        return disk

    yield sized
    if disk.exists():
        # Lazy, because weights that were loaded from there may still be mapped.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def paths(beir: Path, tmp_path: Path) -> dict[str, str]:
    """One collection of each kind, by kind, and ``file``: pairs in a file.

    ``beir`` is the one of the test's folder.
    """
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs/dev.csv").write_text(
        "text1,text2,label\na boat,the boat,1\na boat,bread,0\n"
    )
    sample = {"query": "boat", "positive": "a boat", "documents": ["bread", "a boat"]}
    (tmp_path / "samples.jsonl").write_text(json.dumps(sample) + "\n")
    (tmp_path / "mine.trec").write_text("q1 Q0 join 1 1.0 x\n")
    return {
        "beir": str(beir),
        "pairs": str(tmp_path / "pairs"),
        "file": str(tmp_path / "pairs/dev.csv"),
        "samples": str(tmp_path / "samples.jsonl"),
        "run": str(tmp_path / "mine.trec"),
    }


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a SentenceTransformer: 32 dimensions, window 64, mean pooling."""
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def prompted_encoder(
    tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Copies ``tiny_encoder`` with prompts by name, saved as sentence-transformers saves them."""

    def make(prompts: dict[str, str], default: str | None = None) -> Path:
        directory = tmp_path_factory.mktemp("prompted") / "tiny-encoder"
        shutil.copytree(tiny_encoder, directory)
        file = directory / "config_sentence_transformers.json"
        settings = json.loads(file.read_text())
        settings |= {
            "prompts": {"query": "", "document": ""} | prompts,
            "default_prompt_name": default,
        }
        file.write_text(json.dumps(settings))
        return directory

    return make


@pytest.fixture(scope="session")
def sparse_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a SPLADE model with window 64; its vocabulary is that of the others."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    folder = tmp_path_factory.mktemp("sparse")
    base = str(_bert(folder / "tiny-masked-bert", "BertForMaskedLM"))
    network = Transformer(base, transformer_task="fill-mask", max_seq_length=MAX_LENGTH)
    model = SparseEncoder(modules=[network, SpladePooling("max")], device="cpu")
    model.save(str(folder / "tiny-splade"), create_model_card=False)
    return folder / "tiny-splade"


@pytest.fixture(scope="session")
def late_reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a ColBERT: 16 dimensions, prompts, queries of 12 tokens, skipped marks."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    folder = tmp_path_factory.mktemp("late")
    network = Transformer(
        str(_bert(folder / "tiny-bert", "BertModel")),
        max_seq_length=MAX_LENGTH,
        query_expansion={"strategy": "fixed", "attend": False, "length": 12},
    )
    torch.manual_seed(7)
    dense = Dense(
        HIDDEN,
        16,
        bias=False,
        activation_function=torch.nn.Identity(),
        module_input_name="token_embeddings",
    )
    mask, normalize = MultiVectorMask([".", ",", "!"]), Normalize("token_embeddings")
    model = MultiVectorEncoder(
        modules=[network, dense, mask, normalize],
        device="cpu",
        prompts={"query": "question ", "document": "answer "},
    )
    model.save(str(folder / "tiny-colbert"), create_model_card=False)
    return folder / "tiny-colbert"


@pytest.fixture(scope="session")
def make_calibration() -> Any:
    """Makes calibrations with made-up figures, for a fusion by these weights (None: the logit)."""
    from rerank_search.reranking.calibration import Calibration, FittedOn, HeldOut, Platt, Quality

    def make(fusion: Any = None) -> Calibration:
        quality = Quality(ece=0.1, brier=0.1)
        return Calibration(
            fusion=fusion,
            curve=Platt(slope=2.0, intercept=-0.5),
            fitted_on=FittedOn(
                model="tiny",
                collection="small",
                split="dev",
                first_stage="bm25",
                candidates=5,
                queries=2,
                documents=10,
                relevant=0.5,
            ),
            held_out=HeldOut(folds=2, before=quality, after=quality),
        )

    return make


@pytest.fixture(scope="session")
def tiny_reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a CrossEncoder with one label and window 64."""
    return _bert(
        tmp_path_factory.mktemp("tiny-reranker"), "BertForSequenceClassification", num_labels=1
    )


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A database of a real PostgreSQL with pgvector."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with database(shared, made_by_benchmarks("postgres_server")) as made:
        yield made


def made_by_benchmarks(module: str) -> ModuleType:
    """A module of eval/benchmarks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "eval/benchmarks")
        return importlib.import_module(module)


@pytest.fixture(scope="session")
def architectures() -> ModuleType:
    """The module ``eval/benchmarks/architectures.py``, which compares tiny models."""
    return made_by_benchmarks("architectures")


@pytest.fixture(scope="session")
def tiny_rerankers() -> ModuleType:
    """The module ``eval/benchmarks/tiny_rerankers.py``, which makes rerankers of all kinds."""
    return made_by_benchmarks("tiny_rerankers")


@pytest.fixture(scope="session")
def any_reranker(
    tiny_rerankers: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The directory of a reranker of a kind, by its name in ``RERANKERS``; each is made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tiny_rerankers.RERANKERS[name](tmp_path_factory.mktemp("kind"))
        return made[name]

    return folder


@pytest.fixture(scope="session")
def causal_reranker(any_reranker: Callable[[str], Path]) -> Path:
    """The directory of a generative reranker with a chat template, which takes instructions."""
    return any_reranker("Qwen3 that answers yes or no, in a chat template")


@pytest.fixture(scope="session")
def when_called() -> Callable[..., AbstractContextManager[None]]:
    """A context in which an action gets the arguments of each call of a function.

    The function stays as it is: the interpreter tells of its calls, also in threads that start in
    the context.
    """

    @contextmanager
    def noticing(function: Any, action: Callable[[dict[str, Any]], object]) -> Iterator[None]:
        code = getattr(getattr(function, "__wrapped__", function), "__code__", None)

        def notice(frame: FrameType, event: str, called: object) -> None:
            if event == "call" and frame.f_code is code:
                action(dict(frame.f_locals))
            elif event == "c_call" and called is function:
                action({})

        before = sys.getprofile()
        threading.setprofile(notice)
        sys.setprofile(notice)
        try:
            yield
        finally:
            sys.setprofile(before)
            threading.setprofile(before)

    return noticing


@pytest.fixture(scope="session")
def interrupted_at(
    when_called: Callable[..., AbstractContextManager[None]],
) -> Callable[[Any], AbstractContextManager[None]]:
    """A context in which Ctrl-C comes, once, when a function is called."""

    def interrupt(_: object) -> None:
        sys.setprofile(None)
        raise KeyboardInterrupt

    return lambda function: when_called(function, interrupt)


@pytest.fixture
def install_package(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Installs a package of given modules and entry points; another version replaces it.

    It is written as an installer writes it: the code, and its dist-info.
    """
    sites: list[Path] = []

    def install(
        modules: dict[str, str], entry_points: dict[str, dict[str, str]], *, version: str = "1.0"
    ) -> Path:
        uninstall()
        site = tmp_path / f"site-{len(list(tmp_path.glob('site-*')))}"
        for path, source in modules.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(source)
        info = site / f"my_search-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: my-search\nVersion: {version}\n"
        )
        groups = [
            "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())])
            for group, entries in entry_points.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(groups))
        sys.path.insert(0, str(site))
        sites.append(site)
        return site

    def uninstall() -> None:
        for site in sites:
            sys.path.remove(str(site))
            for name, module in list(sys.modules.items()):
                if str(getattr(module, "__file__", "")).startswith(f"{site}{os.sep}"):
                    del sys.modules[name]
        sites.clear()

    yield install
    uninstall()


@pytest.fixture
def sqlite_stores(install_package: Callable[..., Path]) -> None:
    """Installs the stores of docs/extending.md: ``fts5://``, SQLite's full-text search."""
    page = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
    [code] = re.findall(r"<!-- file: my_search/fts5.py -->\n```python\n(.*?)```", page, re.DOTALL)
    entries = {"rerank_search.stores": {"fts5": "my_search.fts5:Fts5"}}
    install_package({"my_search/fts5.py": code}, entries)


@pytest.fixture
def text_store(sqlite_stores: None, tmp_path: Path) -> Callable[..., str]:
    """Makes such a store with these documents, and returns its URL."""

    def make(documents: Iterable[Any], name: str = "letters") -> str:
        from rerank_search.stores import open_store

        url = f"fts5://{tmp_path}/{name}"
        with open_store(url, create=True, dimension=0) as store:
            store.add(documents)
        return url

    return make


ENGINE = """
import numpy as np

from rerank_search.retrieval.base import Engine, PassageScores
from rerank_search.retrieval.state import StateFile


class Fixed(Engine):
    name, seq = "fixed", 0

    def __init__(self, source):
        self.state = StateFile(source.folder)
        source.folder.mkdir(parents=True, exist_ok=True)
        if not self.state.exists():
            self.state.publish({"seq": 0})
        self.seq = self.state.read()["seq"]

    def update(self, seq, added, removed, *, progress=lambda number: None):
        self.state.publish({"seq": seq})
        self.seq = seq

    def search(self, queries, k, *, allowed=None):
        return [PassageScores(np.array([1]), np.ones(1, np.float32)) for _ in queries]

    def refresh(self):
        return False
"""


@pytest.fixture
def install_engine(install_package: Callable[..., Path]) -> Callable[..., Path]:
    """Installs the first stage ``fixed``, in a version, with code that follows its own."""

    def install(version: str = "1.0", more: str = "") -> Path:
        entries = {"rerank_search.retrievers": {"fixed": "fixed:Fixed"}}
        return install_package({"fixed.py": ENGINE + more}, entries, version=version)

    return install
