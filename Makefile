PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: env train test lint types slow clean

env: $(VENV)/.ready  ## the environment both commands use

$(VENV)/.ready: pyproject.toml setup.py constraints.txt $(wildcard kernels/*.c)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

train: env  ## train a WGAN-GP on drawn shapes and show where the samples are
	$(BIN)/gankit train wgan-gp --config studies/shapes.toml

test: env lint types  ## everything CI checks
	$(BIN)/pytest -m "not slow"

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy sees Any through an editable install's finder, so it is shown the packages as a folder of links.
types: env
	rm -rf .typing && mkdir -p .typing/gankit
	ln -s $(CURDIR)/gankit/* .typing/gankit/
	ln -s $(CURDIR)/kernels $(CURDIR)/plugins $(CURDIR)/cli .typing/gankit/
	MYPYPATH=.typing $(BIN)/mypy -p gankit

slow: env  ## the long suites
	$(BIN)/pytest -m slow

clean:
	rm -rf $(VENV) build *.egg-info .typing .mypy_cache .pytest_cache .ruff_cache
