# `make demo` and `make test` do everything else first: both make the environment if need be.
# Python 3.11 brings RecBole with its own pins; any other python3 from 3.11 on does as well.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

OLDEST := .venv-oldest
GRIDS  := paper table2 ml-1m figure3 figure7 ml-1m-lightgcn

PAGES  := paper_tables tables items_remember looks leaderboard models performance modules sizes

.PHONY: demo test test-all test-oldest coverage mutants models lint docs bench pages bench-quick notebook clean

$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,plots]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt recbole==1.2.1
	touch $@

demo: $(READY)
	$(BIN)/python run_unlearn.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy recbole_unlearn run_unlearn.py tests benchmarks

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow'

test-all: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# Every test; fails below the share of lines and branches that setup.cfg asks for.
coverage: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-config=setup.cfg

# The oldest versions that setup.cfg allows. torch stays where constraints.txt has it: an older one costs gigabytes.
# The tests that call most of these libraries; `make test-oldest TESTS=` runs every test.
test-oldest: TESTS ?= tests/methods tests/influence tests/data tests/test_compat.py
test-oldest: constraints-oldest.txt setup.cfg
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install --quiet --disable-pip-version-check -c constraints-oldest.txt -e '.[test]'
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -n 2 --dist worksteal $(TESTS)

# 120 small changes of the code, each of which a test should notice; an hour at most, and it goes on where it was cut off.
mutants: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.measure.mutants

# One epoch of each model of RecBole on ml-100k, and every method on it; hours, and it goes on where it was cut off.
models: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.measure.models
	$(BIN)/python -m benchmarks.pages.models

# Builds the docs where their tool is configured; their examples run in `make test` in any case.
docs: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# DATA is the folder of ml-1m and amazon-digital-music-5core: make bench DATA=/path/to/dataset
bench: $(READY)
	for grid in $(GRIDS); do \
		$(BIN)/python run_unlearn.py --benchmark=benchmarks/grids/$$grid.yaml $(if $(DATA),--data_path='$(DATA)') || exit 1; \
	done
	$(MAKE) pages

# Every page and table of the docs, from the json of the benchmarks; twice gives the same bytes.
pages: $(READY)
	for page in $(PAGES); do $(BIN)/python -m benchmarks.pages.$$page || exit 1; done

# Ratios that must not fall, on ml-100k; minutes, on a machine that does nothing else.
bench-quick: $(READY)
	OMP_NUM_THREADS=2 $(BIN)/python -m benchmarks.measure.quick

# Runs the notebook again, in an empty folder, and keeps its outputs.
notebook: $(READY)
	rm -rf build/notebook && mkdir -p build/notebook && cp examples/forget_users.ipynb build/notebook
	cd build/notebook && OMP_NUM_THREADS=1 ../../$(BIN)/jupyter execute --inplace forget_users.ipynb
	cp build/notebook/forget_users.ipynb examples/

clean:
	rm -rf $(VENV) $(OLDEST) site build dist *.egg-info
