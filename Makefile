# `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Use real data beside the checkout if it is there; otherwise the loaders download what they need.
export INKSTREAM_DATA ?= $(abspath $(wildcard ../shared/data))
# `make test-system` writes its pictures of the status page and the board here; docs/pictures replaces the committed ones.
export PICTURES ?= plots
# Install exact versions, also of build requirements.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Let Python keep compiled modules, whatever the environment says: tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(BIN)/pip install --quiet
PIP_WHEEL := $(BIN)/pip wheel --quiet --no-deps
ARGS ?=

.PHONY: audit board fuzz dashboards rules help lock watch demo serve train test test-all lint format docs protos bench bench-quick soak test-system dist clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .stamps/run ## Start a server, stream real digits and live pens through it, show what it recognised
	@$(BIN)/inkstream demo $(ARGS)

board: .stamps/run ## Write digits in your browser and see them recognised (ARGS="--no-open")
	@$(BIN)/inkstream board $(ARGS) || [ $$? -eq 130 ] # Ctrl-C is no error.

serve: .stamps/run ## Run the server in the foreground (ARGS="--port 50051")
	@exec $(BIN)/inkstream-server serve $(ARGS)

watch: .stamps/run ## Run the server, and Prometheus over it if installed; prints where to look
	@PATH="$(CURDIR)/$(BIN):$$PATH" exec deploy/watch.sh $(ARGS)

train: .stamps/dev ## Train a model (ARGS="--recipe augmented --seed 1")
	@$(BIN)/inkstream-train train $(ARGS)

# Tests wait for other processes now and then, so one worker more than there are cores keeps all cores busy.
WORKERS ?= $(shell expr $$(nproc) + 1)
test: .stamps/dev lint ## Check and test everything (ARGS="-k batcher")
	@$(BIN)/coverage erase
	$(BIN)/pytest -m "not slow" -n $(WORKERS) --dist worksteal --cov --cov-config=pyproject.toml --cov-report=term $(ARGS)

test-all: test ## Run `make test`, then slow tests and a longer Hypothesis search
	$(BIN)/pytest -m "slow or hypothesis" -n $(WORKERS) --dist worksteal --hypothesis-profile thorough --timeout 600 $(ARGS)

test-system: .stamps/system ## Test wheels, and the server with Envoy, Prometheus and Chromium (ARGS="-k wheels")
	$(BIN)/pytest tests/system $(ARGS)

fuzz: .stamps/dev ## Fuzz all code that reads untrusted bytes (ARGS="--seconds 300")
	@$(PIP) atheris
	@$(BIN)/python -m tests.fuzz $(ARGS)

audit: .stamps/dev ## Look for known vulnerabilities of pinned packages; fails if it cannot look
	@$(PIP) pip-audit
	@$(BIN)/python -m tests.audit

# Hashes of all files of the pinned versions, so that the image fits any machine; never the address of a registry.
LOCK := $(BIN)/uv pip compile - --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
	--no-emit-find-links --constraint constraints.txt --build-constraint constraints.txt \
	--no-emit-package inkstream --no-emit-package inkstream-server --python-version 3.11 --python-platform linux
lock: .stamps/run ## Write deploy/docker/requirements*.txt anew from constraints.txt
	@$(PIP) uv
	@printf './client\n./server[otel]\n' | $(LOCK) --output-file deploy/docker/requirements.txt > /dev/null
	@printf 'hatchling\n' | $(LOCK) --output-file deploy/docker/requirements-build.txt > /dev/null

lint: .stamps/dev .stamps/protoc ## Check style, types, the contract, and that generated files are current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy client/inkstream client/inkstream_*.py server/inkstream_server training/inkstream_training
	$(BIN)/mypy tests benchmarks docs
	$(BIN)/python -m docs.generate --check
	$(BIN)/mypy deploy/grafana deploy/kubernetes
	$(BIN)/python deploy/grafana/generate.py --check
	$(BIN)/python deploy/kubernetes/rules.py --check
	$(BIN)/buf lint
	$(BIN)/buf format -d --exit-code > /dev/null
	@base=$$(git rev-parse --verify --quiet origin/main || git rev-parse --verify --quiet main || echo HEAD); \
	if git cat-file -e "$$base:buf.yaml" 2>/dev/null; \
	then $(BIN)/buf breaking --against ".git#ref=$$base"; fi
	@generated=$$(mktemp -d); trap 'rm -rf "$$generated"' EXIT; \
	$(MAKE) --no-print-directory protos PROTO_OUT="$$generated"; \
	diff -r --exclude=__pycache__ --exclude=__init__.py "$$generated/inkstream/v1" client/inkstream/v1 \
	|| { echo "client/inkstream/v1 differs from protos/: run 'make protos' and commit the result"; exit 1; }

format: .stamps/dev ## Put the code into the project's style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format -w

docs: .stamps/dev ## Generate the pages of docs/ that come from the code
	@$(BIN)/python -m docs.generate

dashboards: .stamps/dev ## Generate deploy/grafana/dashboards from panels/
	@$(BIN)/python deploy/grafana/generate.py

rules: .stamps/dev ## Generate deploy/kubernetes/prometheus-rule.yaml from deploy/prometheus
	@$(BIN)/python deploy/kubernetes/rules.py

PROTO_OUT ?= client
protos: .stamps/protoc ## Generate client/inkstream/v1 from protos/
	@.venv-protos/bin/python -m grpc_tools.protoc -Iprotos --python_out=$(PROTO_OUT) --pyi_out=$(PROTO_OUT) protos/inkstream/v1/*.proto
	@.venv-protos/bin/python -m grpc_tools.protoc -Iprotos --grpc_python_out=$(PROTO_OUT) protos/inkstream/v1/recognition_service.proto

bench: .stamps/bench ## Measure speed beside a bare gRPC echo (about 5 minutes)
	@$(BIN)/python -m benchmarks --json plots/bench.json --picture plots/bench.svg $(ARGS)

bench-quick: .stamps/run ## Fail if the server is slower than the committed ratios (ARGS="--update" to commit)
	@$(BIN)/python -m benchmarks.quick $(ARGS)

soak: .stamps/bench ## Use a server in every way for 10 minutes, check for leaks (ARGS="--minutes 60")
	@$(BIN)/python -m benchmarks.soak --picture plots/soak.svg $(ARGS)

DIST ?= dist
dist: .stamps/run ## Build the three wheels into dist/
	@rm -f $(DIST)/inkstream*.whl
	@$(PIP_WHEEL) --wheel-dir $(DIST) ./client ./server ./training
	@ls $(DIST)/inkstream*.whl

clean: ## Remove what the other targets made
	rm -rf dist .venv .venv-protos .stamps .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

$(VENV)/bin/python:
	@echo "Setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)

.stamps/run: client/pyproject.toml server/pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing client and server (once)"
	@$(PIP) -e "client[cli,tablet]" -e server
	@mkdir -p .stamps && touch $@

.stamps/bench: .stamps/run
	@$(PIP) matplotlib
	@touch $@

.stamps/dev: .stamps/run Makefile client/pyproject.toml server/pyproject.toml training/pyproject.toml requirements-dev.txt
	@echo "Installing TensorFlow, training and the tools of development (once, some minutes)"
	@$(PIP) -e "client[cli,inkml,tablet]" -e "server[keras,otel]" -e training -r requirements-dev.txt
	@mkdir -p .stamps && touch $@

# Programs of Debian, installed by root. Without root the tests that need them are skipped, and say so.
SYSTEM_PROGRAMS := prometheus chromium faketime

.stamps/system: .stamps/dev requirements-system.txt
	@$(PIP) -r requirements-system.txt
	@missing=$$(for program in $(SYSTEM_PROGRAMS); do command -v $$program > /dev/null || echo $$program; done); \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; \
	then echo "missing, and only root may install with apt-get:" $$missing "(their tests are skipped)"; \
	else echo "Installing with apt-get (once):" $$missing; \
	{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing; } > /dev/null \
	|| echo "apt-get failed (tests of what is missing are skipped):" $$missing; fi
	@mkdir -p .stamps && touch $@

# The compiler has its own virtual environment, because it is older than the protobuf that the project runs with:
# a runtime accepts code of its own major version and of the one before, so this code runs with protobuf 6 and 7.
.stamps/protoc: requirements-protoc.txt
	@echo "Setting up the protobuf compiler (once)"
	@$(PYTHON) -m venv .venv-protos
	@PIP_CONSTRAINT= .venv-protos/bin/pip install --quiet -r requirements-protoc.txt
	@mkdir -p .stamps && touch $@
