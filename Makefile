# Two commands for a newcomer: `make demo` and `make test`. Both set up what they need in .venv.
.DEFAULT_GOAL := help
.PHONY: help setup browser demo test test-all lint types imports unit unit-all bench chaos fuzz typescript clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## Create .venv with all that the project needs (some minutes, some GB: PyTorch)

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "SAFS needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV): some minutes, PyTorch alone is several GB ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@# It demands an older typer than ours, and works with ours. Only the tests use it.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps openapi-python-client ruamel.yaml
	@touch $@

demo: setup ## Prune LeNet-5 to 99% on real digits, search, tune, and show what was gained (about 4 minutes)
	@$(BIN)/safs demo --output demo-output

test: setup lint types imports unit ## Lint, types, import rules and tests (about 7 minutes after the set-up)

test-all: setup lint types imports unit-all ## All that test does, and every entry of every registry (see docs/development.md)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

# The tests start many processes, which would compile the sources anew each time if this variable forbade to keep them.
PYTEST := env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

browser: ## Install Chromium for the tests of the pages, where that is possible without a question
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& echo "Installing Chromium ..." && apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install chromium >/dev/null; } \
		|| echo "No Chromium: the tests of the pages are skipped. Install it with: sudo apt-get install chromium"

unit: setup browser
	$(PYTEST) -m "not exhaustive"

unit-all: setup browser
	$(PYTEST)

FUZZ_EXAMPLES ?= 20000

fuzz: setup ## Many random inputs for the parsers of uploads and networks and for every endpoint (many minutes; FUZZ_EXAMPLES=20000)
	OMP_NUM_THREADS=1 FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/pytest --quiet --timeout=0 -o faulthandler_timeout=0 tests/api/uploads/test_fuzz_parser.py tests/models/declared/test_hostile.py tests/api/test_schemathesis.py

bench: setup ## Measure the dispatcher and the training loop (see docs/benchmarks.md)
	$(BIN)/python -m benchmarks.orchestration
	$(BIN)/python -m benchmarks.training

KILLS ?= 100
MINUTES ?= 20

typescript: setup ## Type-check a TypeScript client of README's job (needs npm)
	$(BIN)/python -m tests.typescript

chaos: setup ## Kill a service's processes at random, on SQLite and PostgreSQL; lose nothing (docs/reliability.md)
	$(BIN)/python -m tests.chaos --database sqlite --kills $(KILLS) --minutes $(MINUTES)
	$(BIN)/python -m tests.chaos --database postgresql --kills $(KILLS) --minutes $(MINUTES)

clean: ## Remove .venv and what the demo made
	rm -rf $(VENV) demo-output
