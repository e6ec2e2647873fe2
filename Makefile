# Everything a clone needs, from python3 (3.11 or newer) and make alone.
# PYTHON=… chooses the interpreter; ARGS=… goes to pytest or to the command, e.g. make test ARGS="tests/mime -x".

.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV := .venv
RUN := $(VENV)/bin/python
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)

# The environment belongs to one lock and one interpreter; when either changes, it is made anew.
STAMP := $(VENV)/made-from-$(shell { cat requirements-dev.lock; \
	'$(PYTHON)' -c 'import sys; print(sys.base_prefix, sys.version)' 2>/dev/null; } | cksum | tr -d ' ')

.PHONY: help setup serve demo test bench fuzz check openapi words lock clean

help:
	@echo 'make serve     run Awizo here, with SQLite in ./data'
	@echo 'make demo      run it with a receiving mail server and sample mail'
	@echo 'make test      run every test (SQLite and a PostgreSQL of its own)'
	@echo 'make bench     measure what docs/performance.md records (ARGS="delivery start" for some)'
	@echo 'make fuzz      call every operation with odd values for FUZZ_S seconds (90)'
	@echo 'make check     style, types, floors, stale files'
	@echo 'make openapi   write openapi.json from the code'
	@echo 'make words     gather the texts of the admin page, and compile their translations'
	@echo 'make lock      take the newest releases that pyproject.toml allows'
	@echo 'make setup     only make the environment in $(VENV)'
	@echo 'make clean     remove the environment and all caches'

setup: $(STAMP)

$(STAMP):
	@.ci/make-venv '$(PYTHON)' $(VENV) requirements-dev.lock
	@touch $@

serve: $(STAMP)
	$(RUN) -m app serve $(ARGS)

demo: $(STAMP)
	$(RUN) -m app demo $(ARGS)

test: $(STAMP)
	@.ci/test $(RUN) $(ARGS)

# Some minutes on a quiet machine; wants Debian's postfix (smtp-source, smtp-sink) and a C compiler.
bench: $(STAMP)
	$(RUN) -m bench $(ARGS)

# In an environment of its own: what it needs is none of Awizo's business.
FUZZ_STAMP := $(VENV)-fuzz/made-from-$(shell { cat requirements-fuzz.lock; \
	'$(PYTHON)' -c 'import sys; print(sys.base_prefix, sys.version)' 2>/dev/null; } | cksum | tr -d ' ')

$(FUZZ_STAMP):
	@.ci/make-venv '$(PYTHON)' $(VENV)-fuzz requirements-fuzz.lock
	@touch $@

fuzz: $(STAMP) $(FUZZ_STAMP)
	.ci/fuzz $(RUN) $(VENV)-fuzz/bin/st

check: $(STAMP)
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(RUN) -m pytest tests/test_house.py

openapi: $(STAMP)
	$(RUN) -m app openapi > openapi.json.new
	mv openapi.json.new openapi.json

words: $(STAMP)
	$(RUN) .ci/gather-words

# Any release of every platform and of Python 3.11 to 3.14, by hash; never the name of a registry.
COMPILE = $(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --upgrade \
	--generate-hashes --no-emit-index-url --no-header
LOCK = $(COMPILE) pyproject.toml
lock: $(STAMP)
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	$(COMPILE) requirements-fuzz.in --output-file requirements-fuzz.lock

clean:
	rm -rf $(VENV) $(VENV)-fuzz build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find app migrations tests bench -name __pycache__ -prune -exec rm -rf {} +
