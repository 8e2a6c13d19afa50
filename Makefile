# Two commands matter: `make run` and `make test`. `make help` lists all.
# Needs Python 3.11 or newer (with its venv module), git and make; everything else is built here.

PORT ?= 8000
AMAZON_PORT ?= 9001
WORKERS ?= 1
ROWS ?= 0
TIMES ?= 34
BASE_URL ?= http://localhost:$(PORT)
ARGS ?=
SECONDS ?= 120

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
BIN := .venv/bin
# No resolver: the pins are whole, and older ones read `package[extra]` as a wish for its newest.
# Modules are compiled when they are first used, which most of a package never is.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
	--no-compile
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-header

# Tests of generated cases that ask `tests/fuzzing.py` how many.
FUZZERS := tests/test_walk_machine.py tests/test_amazon_bodies.py tests/test_url_fuzz.py

# What `check --deploy` needs to see a production configuration; no value is used anywhere.
RANDOM = $(shell head -c $(1) /dev/urandom | base64 | tr -d '\n')
DEPLOYED := DJANGO_DEBUG=false \
	DJANGO_SECRET_KEY=$(call RANDOM,48) \
	DJANGO_ALLOWED_HOSTS=example.com \
	PUBLIC_BASE_URL=https://example.com TRUSTED_PROXY_COUNT=1 \
	DATABASE_URL=postgresql://postgres@127.0.0.1:5432/postgres \
	REDIS_URL=redis://127.0.0.1:6379/15 \
	TOKEN_ENCRYPTION_KEYS=lint:$(call RANDOM,32) METRICS_TOKEN=$(shell printf '%032d' 0) \
	SPAPI_APPLICATION_ID=amzn1.sp.solution.lint SPAPI_CLIENT_ID=amzn1.application-oa2-client.lint \
	SPAPI_CLIENT_SECRET=amzn1.oa2-cs.v1.lint \
	ADS_CLIENT_ID=amzn1.application-oa2-client.lint-ads ADS_CLIENT_SECRET=amzn1.oa2-cs.v1.lint-ads \
	EMAIL_HOST=smtp.example.com DEFAULT_FROM_EMAIL=no-reply@example.com

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run code reset test coverage walk screenshots bench mutants fuzz hammer soak lint format messages requirements clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/development.stamp ## Start the product and a fake Amazon (PORT=8000 AMAZON_PORT=9001 WORKERS=1 ROWS=300)
	@exec $(BIN)/python -m tests.demo --port $(PORT) --amazon-port $(AMAZON_PORT) --workers $(WORKERS) --rows $(ROWS)

code: .venv/development.stamp ## Show the demo staff's code for the second sign-in step
	@$(BIN)/python -m tests.demo.second_step

reset: .venv/development.stamp ## Forget everything that `make run` stored
	@$(BIN)/python -m tests.demo --reset

test: .venv/development.stamp ## Run all tests, on PostgreSQL, Redis and chromium where reachable (ARGS=…)
	@$(BIN)/python -m pytest --quiet --numprocesses auto --maxprocesses 8 --dist worksteal $(ARGS)

coverage: .venv/development.stamp ## Run all tests and show the lines and branches they miss
	@$(BIN)/python -m pytest --quiet --numprocesses auto --maxprocesses 8 --dist worksteal \
		--cov --cov-report term $(ARGS)

walk: .venv/development.stamp ## Walk through a running demo with a browser (BASE_URL=http://localhost:8000)
	@BASE_URL=$(BASE_URL) $(BIN)/python -m pytest --quiet -n 0 tests/browser/test_walk.py $(ARGS)

screenshots: .venv/development.stamp ## Take the README's pictures again, from a demo of its own
	@$(BIN)/python -m tests.browser.screenshots

bench: .venv/development.stamp ## Measure the product against its floors (ARGS=…)
	@$(BIN)/python -m benchmarks $(ARGS)

mutants: .venv/development.stamp ## Take guards away one at a time: the tests must notice (ARGS=--only=fence)
	@$(BIN)/python -m tests.mutants $(ARGS)

fuzz: .venv/development.stamp ## The generated tests, many times as many cases (TIMES=34: 2,000 walks)
	@FUZZ=$(TIMES) $(BIN)/python -m pytest --quiet --numprocesses auto --maxprocesses 8 $(FUZZERS) $(ARGS)

hammer: .venv/development.stamp ## Race 10,000 redemptions of states, 2,000 whole callbacks, and other doors that open once
	@HAMMER=10000 $(BIN)/python -m pytest --quiet -n 0 tests/test_hammers.py $(ARGS)

soak: .venv/development.stamp ## Kill, freeze and restart everything, ours and plain Celery (SECONDS=120)
	@$(BIN)/python -m tests.soak --seconds $(SECONDS) --folder var/soak/$$(date +%Y%m%d-%H%M%S) $(ARGS)

lint: .venv/development.stamp ## Check pins, format, style, types, layers, templates, migrations, deployment
	$(BIN)/python -m pip --disable-pip-version-check check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint --lint templates
	$(DEPLOYED) $(BIN)/python manage.py makemigrations --check --dry-run
	$(DEPLOYED) $(BIN)/python -W error manage.py check --deploy --fail-level WARNING

format: .venv/development.stamp ## Rewrite Python and templates in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

messages: .venv/development.stamp ## Bring the catalogues up to date with the source, and compile them
	@$(BIN)/python -m tests.demo.messages --update

requirements: .venv/development.stamp ## Compile the .in files into hashed pins (ARGS=--upgrade renews all)
	$(COMPILE) $(ARGS) --output-file requirements.txt requirements.in
	$(COMPILE) $(ARGS) --output-file requirements-dev.txt requirements-dev.in

clean: ## Remove the virtual environment and the caches of the checks
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage

.venv/runtime.stamp: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Building .venv (once, about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "The venv module is missing (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(INSTALL) -r requirements.txt
	@touch $@

.venv/development.stamp: requirements-dev.txt .venv/runtime.stamp
	@$(INSTALL) -r requirements-dev.txt
	@touch $@
