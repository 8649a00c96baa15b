# make demo · make test · make check · make soak · make fuzz · make bench · make docs · make install · make clean
# Needs Python 3.11 or newer (another than python3: make PYTHON=python3.12) and PyPI.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
FAISS := $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),faiss-gpu,faiss-cpu)
RUNS_DOCS := tests/test_docs.py tests/test_examples.py

.PHONY: install demo test soak fuzz check bench peers docs constraints clean
.DEFAULT_GOAL := demo

install: $(STAMP)
	@$(BIN)/mmsdk models fetch
	@$(BIN)/mmsdk models fetch en-core-web-sm

# A virtual environment without the stamp was left half-made: it is made anew (pip keeps what it downloaded).
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "mmsdk needs Python 3.11 or newer, and '$(PYTHON)' is not. Name another: make PYTHON=python3.12" >&2; exit 1; }
	@[ -e $(STAMP) ] || $(PYTHON) -m venv --clear $(VENV) || { \
	  echo "Python cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@rm -f $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[all,dev,$(FAISS)]'
	@touch $(STAMP)

demo: install
	@$(BIN)/python examples/demo.py
	@$(BIN)/python examples/finance_monitor.py

# The quick tier: every behaviour, with the real models. What the documentation shows is run by check.
# A worker that dies ends the run and is named: replaced, it can leave the run waiting for ever (pytest-xdist #1378).
test: install
	$(BIN)/pytest -m "not soak and not gpu" -n $(WORKERS) --max-worker-restart 0 --dist loadfile $(RUNS_DOCS:%=--ignore %)

# The long tier: kill loops, fuzzing, histories, large streams.
soak: install
	$(BIN)/pytest -m soak --timeout 3600

# Requests made up from the OpenAPI description, 500 an operation.
fuzz: install
	FUZZ_EXAMPLES=500 $(BIN)/pytest tests/server/test_schema.py --timeout 36000

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry mmsdk plugins
	$(BIN)/python -m docs.generate --check
	$(BIN)/pytest $(RUNS_DOCS) -n $(WORKERS) --max-worker-restart 0 --dist loadfile

bench: install
	$(BIN)/python -m benchmarks.import_time
	$(BIN)/python -m benchmarks.answers examples/data benchmarks/shop_questions.jsonl
	$(BIN)/python -m benchmarks.retrieval cranfield cmrc-dev
	$(BIN)/python -m benchmarks.zero_shot_images
	$(BIN)/python -m benchmarks.speech_wer
	$(BIN)/python -m benchmarks.encode_throughput
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python -m benchmarks.exact_search
	$(BIN)/python -m benchmarks.risk_coverage
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.scale --plot docs/plots
	$(BIN)/python -m benchmarks.filters
	$(BIN)/python -m benchmarks.server batching
	$(BIN)/python -m benchmarks.server overload
	$(BIN)/python -m benchmarks.server overload --of ask
	$(BIN)/python -m benchmarks.faults cost flips log crashes errors kills crowd

# Beside other libraries, which get environments of their own (7 GB each): an hour on two cores.
peers: install
	@mkdir -p build && rm -f build/peers.jsonl
	$(BIN)/python -m benchmarks.peers run --results build/peers.jsonl
	$(BIN)/python -m benchmarks.peers run --results build/peers.jsonl --backend bfloat16 \
	  --engines langchain chroma txtai lancedb haystack
	$(BIN)/python -m benchmarks.peers run --results build/peers.jsonl --backend openvino --engines langchain
	$(BIN)/python -m benchmarks.peers report --results build/peers.jsonl --plot docs/plots

docs: install
	$(BIN)/python -m docs.generate

# After a change of dependencies: record the versions that were tested together.
constraints:
	@(sed '/^[^#]/,$$d' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable \
	  | sed -e '/^#/d' -e 's/^faiss-gpu\(==.*\)/faiss-cpu\1\n&/') > constraints.new && mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info demo-collection demo-finance demo-graph demo-service demo-recommend .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
