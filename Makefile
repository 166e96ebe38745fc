# Two commands on a fresh machine: `make demo` and `make test`. Everything goes into .venv and .beyond.
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
export BEYOND_HOME ?= $(CURDIR)/.beyond

.PHONY: demo test test-fast install lint clean benchmarks

install: $(VENV)/.installed

# torch first and by itself, with pip: otherwise another package may pull in the CUDA build, which is gigabytes.
$(VENV)/.installed: pyproject.toml
	$(PY) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[train,dev]'
	touch $@

demo: install
	@echo "== backfill: 30 sample reviews into the queue =="
	@$(BIN)/beyond backfill producers/samples/reviews.jsonl
	@echo "== work: emotions for all, insights for those that need one =="
	@BEYOND_LOG_LEVEL=WARNING $(BIN)/beyond work --burst
	@$(BIN)/beyond insights --limit 30
	@echo "Try next:"
	@echo "  export BEYOND_HOME=$(BEYOND_HOME); . $(VENV)/bin/activate"
	@echo "  beyond dashboard                               # read them in your browser; or: make demo OPEN=1"
	@echo "  beyond status"
	@echo "  beyond export --format csv --out insights.csv"
	@echo "  beyond backfill YOUR_REVIEWS.csv --map text=review,rating=stars && beyond work --burst"
	@echo "  BEYOND_WEBHOOK_TOKEN=secret beyond webhook     # POST /reviews, docs at /docs"
	@if [ -n "$(OPEN)" ]; then $(BIN)/beyond dashboard --open; fi

test: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile

# What needs no server, no model and no second process: well under a minute.
test-fast: install
	$(BIN)/python -m pytest -m "not server and not models and not slow"

lint: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

benchmarks: install
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[benchmarks]'
	$(BIN)/python benchmarks/queue_overhead.py
	$(BIN)/python benchmarks/recovery.py
	$(BIN)/python benchmarks/cpu_models.py
	$(BIN)/python benchmarks/webhook_load.py

clean:
	rm -rf $(VENV) .beyond build *.egg-info
