# Two commands do everything: `make demo` and `make test`. Both make the environment if need be.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test lint clean

$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,plots]'
	touch $@

demo: $(READY)
	$(BIN)/python run_unlearn.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy recbole_unlearn run_unlearn.py

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

clean:
	rm -rf $(VENV) build dist *.egg-info
