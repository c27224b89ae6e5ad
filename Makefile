# make book [PROFILE=demo|photos|path.yaml] [DATA_ROOT=folder]    make test    make help
PROFILE ?= demo
DATA_ROOT ?=
CAPTIONS ?=
ARGS ?=
PYTHON ?= python3
# Recipes read these as they were typed, from the environment, so that no value is ever part of a command.
override PROFILE := $(value PROFILE)
override DATA_ROOT := $(value DATA_ROOT)
override CAPTIONS := $(value CAPTIONS)
export PROFILE DATA_ROOT CAPTIONS
VENV := .venv
READY := $(VENV)/ready
BIN := $(VENV)/bin
# Two processes of one thread each use two cores better than one process of two; a file's tests share what they build.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2
BROWSER := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

.DEFAULT_GOAL := help
.PHONY: help book plan lint test fetch-test browser bench pretrain lab clean

help:  ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 12

book: $(READY)  ## run a profile's notebooks and build its book: PROFILE=demo (default), photos, paper or a file
	@$(BIN)/python workflow/book.py "$$PROFILE" "$$DATA_ROOT" $(ARGS)

plan: $(READY)  ## what `make book` would download and compute, and what is missing
	@$(BIN)/python workflow/book.py "$$PROFILE" "$$DATA_ROOT" --plan $(ARGS)

lint: $(READY)  ## layout and habits of the code, in seconds: ruff and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

test: lint browser  ## lint, the fast tests, then those that run notebooks, build books and drive a browser
	$(PYTEST) -m "not slow"
	$(PYTEST) -m slow --dist loadfile --no-loadscope-reorder
	@$(MAKE) --no-print-directory fetch-test

bench: $(READY)  ## our code against the plain way, side by side (9 GB of memory): CAPTIONS=FILE for real captions
	@for script in embeddings silhouette_and_pruning sweep; do \
	  echo "== $$script"; $(BIN)/python benchmarks/$$script.py || exit 1; done
	@echo "== captions"; $(BIN)/python benchmarks/captions.py $${CAPTIONS:+"$$CAPTIONS"}

pretrain: $(READY)  ## train the bundled small models again, from scratch (hours on two cores)
	$(BIN)/python -m featpurity pretrain

lab: $(READY)  ## open the notebooks in JupyterLab: ARGS='--no-browser --port 8899' for its own options
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS) notebooks

clean:  ## remove results and stored features; the virtual environment and downloads stay
	rm -rf results store .snakemake

browser:
	@if [ -z "$(BROWSER)" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "No browser found: installing Chromium with apt-get for the tests of the built pages."; \
	  apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; \
	elif [ -z "$(BROWSER)" ]; then \
	  echo "No browser found: install chromium, or the tests of the built pages are skipped."; fi

# img2dataset wants an older pandas (and Python below 3.13) and CLIP_benchmark an older numpy, so the tests that hold the
# suite to them run in an environment that borrows all else from the suite's.
FETCH := .venv-fetch-test
fetch-test: $(READY)
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; \
	then $(MAKE) --no-print-directory $(FETCH)/ready && $(FETCH)/bin/python -m pytest -q -k "test_fetch or clip_benchmark" \
	  tests/unit/test_fetch.py tests/unit/test_retrieval.py tests/unit/test_retrieval_and_probe.py; \
	else echo "The tests that download with img2dataset, which needs Python below 3.13, and those beside CLIP_benchmark" \
	  "are skipped."; fi

$(FETCH)/ready: $(READY) pyproject.toml Makefile
	$(BIN)/python -m venv --clear $(FETCH)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > $$($(FETCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/suite.pth
	$(FETCH)/bin/python -m pip install --quiet --disable-pip-version-check 'pandas<3' 'numpy<2.4' 'img2dataset>=1.45'
	$(FETCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps 'clip-benchmark==1.6.2'
	@touch $@

# A virtual environment that is as new as the two files that say what belongs in it.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit( \
	  "Python 3.11 or later is needed, this is %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	@test -x $(BIN)/python || { echo "Making $(VENV) and installing what requirements.txt lists: minutes, once."; \
	  $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
