# Memlog: `make run` and `make test` do all the set-up themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
WORKERS ?= 2
BIN := $(VENV)/bin
PACKAGES := $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
STAMP := $(VENV)/.installed
LOADED := indexer.container, standalone.foreground, standalone.stdio, standalone.together, \
  anyio._backends._asyncio, httpcore, httpcore2, uvicorn.lifespan.on, uvicorn.protocols.http.httptools_impl
# Never ask for, or fall back to, a Python that is not the virtual environment's.
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.PHONY: help setup run test lint fmt bench fuzz conformance lock clean

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .venv (run and test do it themselves)

$(BIN)/uv: requirements-uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Memlog needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV) (first time only)…"
	@$(PYTHON) -m venv $(VENV) || { echo "Could not make a virtual environment. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@touch $@

$(STAMP): $(BIN)/uv requirements.lock $(PACKAGES)
	@echo "Installing the locked dependencies (about 250 MB the first time)…"
	@$(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps $(foreach p,$(PACKAGES),-e $(dir $(p)))
	@# Bytecode is kept of all that Memlog loads: where Python is told to write none, each start would compile it anew.
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c 'import $(LOADED)'
	@$(BIN)/python -m compileall -q libs/*/src services/*/src
	@touch $@

run: $(STAMP) dashboard ## start Memlog on http://127.0.0.1:8765 (MEMLOG_PORT, MEMLOG_HOST, MEMLOG_HOME)
	@exec $(BIN)/memlog up

# Debian's package, unpacked: nothing of it is installed.
.cache/prometheus/usr/bin/promtool:
	@command -v promtool >/dev/null || { echo "Fetching Prometheus for its tests (Debian's package, about 40 MB)…"; \
	  mkdir -p .cache/prometheus && cd .cache/prometheus && \
	  { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } >/dev/null 2>&1 && \
	  dpkg -x prometheus_*.deb . && rm -f prometheus_*.deb; } || \
	  echo "Prometheus could not be fetched, and its tests will be skipped. Install it: apt install prometheus"

# The same, with what it needs and this machine has not.
CHROMIUM := .cache/chromium/usr/lib/chromium/chromium
$(CHROMIUM):
	@command -v chromium >/dev/null || { echo "Fetching Chromium for the tests of the dashboard (Debian's packages, about 100 MB)…"; \
	  mkdir -p .cache/chromium/debs/partial && cd .cache/chromium && \
	  fetch() { apt-get install -qq --yes --no-install-recommends --download-only -o Debug::NoLocking=1 -o Dir::Cache::archives="$$PWD/debs" chromium; } && \
	  { fetch || { apt-get update -qq && fetch; }; } >/dev/null 2>&1 && \
	  for package in debs/*.deb; do dpkg -x $$package . || exit 1; done && rm -rf debs; } || \
	  echo "Chromium could not be fetched, and the tests of the dashboard will be skipped. Install it: apt install chromium"

test: $(STAMP) dashboard .cache/prometheus/usr/bin/promtool $(CHROMIUM) ## run the suite, two files at a time (ARGS='-k name' to narrow, WORKERS=0 for one after the other)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(STAMP) ## ruff and pyright (strict); with the dashboard's packages, tsc and Biome
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright
	@[ ! -e $(UI_MODULES) ] || $(NPM) run check

fmt: $(STAMP) ## format and fix what can be fixed
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(STAMP) ## measure over real HTTP and MCP, about 25 minutes (ARGS='--only search' to narrow)
	@$(BIN)/python -m bench $(ARGS)

fuzz: $(STAMP) ## send 20,000 hostile requests over REST and as many over MCP (ARGS='--cases 2000 --seed 7' to repeat some)
	@$(BIN)/python -m fuzz $(ARGS)

conformance: $(STAMP) ## the official MCP conformance suite (npm) against a running Memlog
	@PYTHONPATH=tests $(BIN)/python -m support.conformance

lock: $(BIN)/uv ## write requirements.lock anew from the pyproject files
	@$(BIN)/uv lock --quiet --upgrade
	@$(BIN)/uv export --quiet --format requirements-txt --all-packages --all-groups --no-emit-workspace --no-header --no-annotate --output-file requirements.lock
	@awk '/^[a-z]/ {keep = /^uv==/} keep' requirements.lock > requirements-uv.txt

include services/dashboard/dashboard.mk
include deploy/compose.mk

clean: ## remove .venv and caches (never data)
	@rm -rf $(VENV) services/dashboard/node_modules $(dir $(UI)) .pytest_cache .ruff_cache .hypothesis uv.lock
