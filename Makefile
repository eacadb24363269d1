# make demo: from raw logs to a served list, on real data. make test: everything that is checked.
VENV   := .venv
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
# Tests of one module run one after the other in one of so many processes, each with a Spark session of its own.
TEST_PROCESSES ?= 2
PARALLEL = -n $(TEST_PROCESSES) --dist loadscope --no-loadscope-reorder
EXTRAS := jobs,vision,search,airflow,lookup,journey,kafka,traces,client,demo,bench,docs,dev

export JAVA_HOME ?= $(shell sh setup/find_java.sh 2>/dev/null)

.PHONY: help setup demo test fast slow matrix lint types reference docs clean

help:
	@echo "make demo    set up, run every job on real data, serve"
	@echo "make test    set up, run the tests;  make fast: those without servers"
	@echo "make slow    minutes of kills, faults and load"
	@echo "make matrix  the fast tests on other Pythons and Sparks, each in an environment of its own"
	@echo "make setup   a virtual environment in .venv, packages, Java"
	@echo "make lint types   what CI checks beside the tests"
	@echo "make reference   docs/settings.md, docs/cli.md and the list of decisions;  make docs: all pages as a site"

setup: $(STAMP)
	@sh setup/java.sh

$(STAMP): setup.cfg constraints.txt constraints/newest.txt setup/install.sh
	sh setup/venv.sh $(VENV)
	sh setup/install.sh $(PYTHON) $(EXTRAS)
	@touch $@

demo: setup
	$(PYTHON) -m demo

test: setup
	$(PYTHON) -m pytest $(PARALLEL)

fast: setup
	$(PYTHON) -m pytest $(PARALLEL) -m 'not end_to_end'

slow: setup
	$(PYTHON) -m pytest -m slow

matrix:
	sh setup/matrix.sh

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: setup
	$(VENV)/bin/mypy

reference: setup
	$(PYTHON) -m larder.cli.reference

docs: setup
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "build/site/index.html"

clean:
	rm -rf .demo build dist
