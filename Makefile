# Two commands on a fresh machine: `make demo` and `make test`. Everything goes into .venv and .beyond.
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Of the dashboard that `make demo OPEN=1` opens.
PORT ?= 8800
export BEYOND_HOME ?= $(CURDIR)/.beyond

.PHONY: demo test test-fast install lint clean benchmarks check lock sbom certificates

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
	@if [ -n "$(OPEN)" ]; then $(BIN)/beyond dashboard --open --port $(PORT); fi

test: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder  # a third of the time is waiting

# What needs no server, no model and no second process: well under a minute.
test-fast: install
	$(BIN)/python -m pytest -m "not server and not models and not slow"

lint: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# Known weaknesses in what we install and in what we wrote; webhook and API against their own descriptions.
check: install
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[check]'
	$(BIN)/bandit -q -ll -c pyproject.toml -r shared producers workers trainer consumers beyond.py
	$(BIN)/python .ci/audit.py $(AUDIT)  # AUDIT=--strict: fail also where nothing could be looked up
	$(BIN)/python -m pytest tests/producers/test_openapi.py tests/consumers/dashboard/test_openapi.py tests/test_supply.py

# requirements.lock: exact versions with hashes for image and CI. torch stands apart (see install), so
# it and the CUDA packages that its other builds pull in are left out.
lock: install
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[check]'
	$(BIN)/python .ci/lock.py

# sbom.json (CycloneDX) of what is installed, and the licences.
sbom: install
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[check]'
	$(BIN)/cyclonedx-py environment $(VENV) --output-reproducible --of JSON -o sbom.json
	$(BIN)/pip-licenses --python $(BIN)/python --from mixed --order license --format markdown

# An authority of our own and a certificate of the server for compose.tls.yaml, in certificates/.
certificates:
	mkdir -p certificates
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=Beyond Sentiment" \
	  -keyout certificates/ca.key -out certificates/ca.crt
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=valkey" \
	  -keyout certificates/server.key -out certificates/server.csr
	printf 'subjectAltName=DNS:valkey,DNS:localhost,IP:127.0.0.1' > certificates/server.ext
	openssl x509 -req -in certificates/server.csr -CA certificates/ca.crt -CAkey certificates/ca.key -CAcreateserial \
	  -days 825 -extfile certificates/server.ext -out certificates/server.crt
	chmod 644 certificates/server.key  # the container's user reads it; ca.key stays here

benchmarks: install
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[benchmarks]'
	$(BIN)/python benchmarks/queue_overhead.py
	$(BIN)/python benchmarks/recovery.py
	$(BIN)/python benchmarks/cpu_models.py
	$(BIN)/python benchmarks/webhook_load.py

clean:
	rm -rf $(VENV) .beyond build *.egg-info
