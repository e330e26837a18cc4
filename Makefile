# Works without activating anything: everything is installed into .venv and run from there.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP_OPTIONS := -c constraints.txt --disable-pip-version-check -qq

.PHONY: demo test test-fast lint docs bench bench-growth bench-bm25 bench-quality bench-rerank bench-encode bench-gpu \
	bench-plugins bench-planner bench-ray bench-serve bench-stores bench-training extras torture torture-first-calls clean
.DEFAULT_GOAL := demo

# The runtime alone: enough for the demo, so that its first run is short.
.venv/.runtime: pyproject.toml constraints.txt
	@echo "Installing into .venv (a few minutes the first time) ..."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install $(PIP_OPTIONS) -e '.[offline,eval]'
	@touch $@

.venv/.development: .venv/.runtime
	@echo "Installing what the tests need ..."
	$(BIN)/pip install $(PIP_OPTIONS) -e '.[offline,bm25s,eval,onnx,openvino,train,telemetry,tensorboard,mcp,langchain,llama-index,haystack,dspy,postgres,qdrant,lancedb,milvus,ray,docs,dev]'
	@touch $@

demo: .venv/.runtime
	$(BIN)/rerank-search demo
	@echo "What the second stage is worth after BM25 on 60 judged questions (less than a minute):"
	@$(BIN)/rerank-search evaluate eval/experiments/demo.toml
	@echo "After vectors too (minutes): $(BIN)/rerank-search evaluate eval/collections/python-docs \
	--reranker rerank-search-base --candidates 20"

# One process for each core. Every process makes its own models, so more processes only use memory.
# Compiled tests are kept, also where the environment says otherwise: it takes each process 10 s.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

test: .venv/.development
	$(PYTEST)

# For the daily loop: the tests that take less than a second each.
test-fast: .venv/.development
	$(PYTEST) -q -m "not (slow or process or training or browser)"

lint: .venv/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory docs

# The documentation as a site: site/index.html. Strict: a broken link or docstring is an error.
docs: .venv/.development
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# Writes tables to eval/results/.
bench: .venv/.development
	$(BIN)/python eval/benchmarks/first_stage.py
	$(BIN)/python eval/benchmarks/search.py
	$(BIN)/python eval/benchmarks/startup.py
	$(BIN)/python eval/benchmarks/evaluation.py
	$(BIN)/python eval/benchmarks/plugins.py
	$(BIN)/python eval/benchmarks/architectures.py
	$(BIN)/python eval/benchmarks/detection.py

# Costs at up to 1,000,000 documents. Takes a quarter of an hour, and 3 GB of disk.
bench-growth: .venv/.development
	$(BIN)/python eval/benchmarks/growth.py

# BM25 at up to 1,000,000 documents against tantivy alone and bm25s. Takes half an hour, and 4 GB of disk.
bench-bm25: .venv/.development
	$(BIN)/python eval/benchmarks/bm25_scale.py

# The quality of the bundled rerankers; needs the collections in ../shared/data. Takes hours.
bench-quality: .venv/.development
	$(BIN)/rerank-search evaluate eval/experiments/bundled-reranker.toml
	$(BIN)/rerank-search evaluate eval/experiments/depth.toml
	$(BIN)/python eval/publish.py runs/evaluation/bundled-reranker --card rerank-search-base
	$(BIN)/python eval/publish.py runs/evaluation/depth
	$(BIN)/python eval/calibrate_bundled.py
	$(BIN)/python eval/benchmarks/hybrid.py
	$(BIN)/python eval/benchmarks/vectors.py
	$(BIN)/python eval/benchmarks/static_encoder.py
	$(BIN)/python eval/benchmarks/languages.py
	$(BIN)/python eval/benchmarks/compounds.py
	$(BIN)/python eval/benchmarks/other_languages.py

# The reranker against sentence-transformers and others, backend by backend. Three quarters of an hour.
bench-rerank: .venv/.development
	$(BIN)/python eval/benchmarks/rerank.py
	$(BIN)/python eval/benchmarks/rerank_profile.py
	$(BIN)/python eval/benchmarks/rerank_load.py
	$(BIN)/python eval/benchmarks/cascade.py
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python eval/benchmarks/rerank.py --avx2

# The encoder against sentence-transformers, backend by backend. Ten minutes; a minute with --short.
bench-encode: .venv/.development
	$(BIN)/python eval/benchmarks/encode.py $(OPTIONS)

# The reranker on a CUDA GPU.
bench-gpu: .venv/.development
	$(BIN)/python eval/benchmarks/rerank.py --gpu

# The HTTP API against the library. A quarter of an hour.
bench-serve: .venv/.development
	$(BIN)/python eval/benchmarks/serving.py

# The planner's predictions against a simulation and a real server. A quarter of an hour.
bench-planner: .venv/.development
	$(BIN)/python eval/benchmarks/planner.py

# Training against sentence-transformers alone, where ../shared/data is there. A quarter of an hour.
bench-training: .venv/.development
	$(BIN)/python eval/benchmarks/training.py

# A Ray cluster of this machine against one process. Takes minutes.
bench-ray: .venv/.development
	$(BIN)/python eval/benchmarks/on_ray.py

# The plugins: what they add to a call, and how much faster they rerank than what they replace.
bench-plugins: .venv/.development
	$(BIN)/python eval/benchmarks/plugins.py
	$(BIN)/python eval/benchmarks/replacing.py

# Stores against an index: quality, then 100,000 documents in PostgreSQL. Needs ../shared/data. An hour.
bench-stores: .venv/.development
	$(BIN)/python eval/benchmarks/stores.py
	$(BIN)/python eval/benchmarks/postgres.py
	$(BIN)/python eval/benchmarks/postgres_words.py

# Each extra alone in a fresh environment. Takes minutes.
extras:
	$(PYTHON) tests/extras.py

# Kills a writing process 200 times; the test suite does it 10 times.
torture: .venv/.development
	$(BIN)/python -m tests.index.torture 200

# Starts 200 new processes whose first call uses several threads, and counts those that hang. Takes
# an hour; the test suite starts 3 for each backend.
torture-first-calls: .venv/.development
	$(BIN)/python tests/first_calls.py 200
	$(BIN)/python tests/first_calls.py 200 --backend onnx

clean:
	rm -rf .venv build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf indexes/python-docs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
