# Every target makes the environment first, if it is not there or is out of date.
#   make demo   the whole chain on sample games, in a few minutes
#   make test   the tests
#   make dev    the Dagster UI on the same data root
#   make reap   marks runs as failed that a crash cut off; make dev does so itself
#   make lint   ruff and mypy
#   make docs   docs/fields.md from the field table
#   make clean  removes the environment and caches; data/ and .dagster/ stay

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export MELEE_DATA ?= $(CURDIR)/data
# Not the user's own instance, whatever DAGSTER_HOME says outside: dagster.yaml here, or the one
# for PostgreSQL when MELEE_POSTGRES=postgresql+psycopg2://user:password@host/database is set.
export DAGSTER_HOME := $(CURDIR)$(if $(MELEE_POSTGRES),/postgres)
export MELEE_DAGSTER_STORAGE ?= $(CURDIR)/.dagster
# Nothing leaves this machine unless a key says so.
export DAGSTER_DISABLE_TELEMETRY = 1
export DAGSTER_EVENT_BATCH_SIZE ?= 1000
# `dg dev`, which dagster recommends instead, wants a project of its own layout.
export PYTHONWARNINGS = ignore:Function `dev_command` is superseded

PORT ?= 3000

.PHONY: demo test dev reap lint docs clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 demo" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,postgres]' -c constraints.txt
	@touch $(READY)

demo: $(READY)
	$(BIN)/python -m melee_pipeline.dag.demo

test: $(READY)
	$(BIN)/python -m pytest

dev: $(READY)
	@$(BIN)/python -m melee_pipeline.dag.dev $(PORT)

reap: $(READY)
	$(BIN)/python -m melee_pipeline.dag.reap

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python -m melee_pipeline.schema.docs > docs/fields.md.new
	@mv docs/fields.md.new docs/fields.md

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
