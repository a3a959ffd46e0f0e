# Each verb sets up the environment first, if it is not there yet.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --constraint constraints.txt

.PHONY: install book test notebooks experiments lab validate robust grade seeds bench

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv && $(PIP) --editable '.[book,dev]' && touch $@

book: install  ## the rendered book
	$(BIN)/jupyter-book build --quiet -W -n --keep-going . && echo "The book is ready. Open $(CURDIR)/_build/html/index.html"

test: install  ## every test, every stored output compared, a minute of the experiments
	$(BIN)/ruff check . && $(BIN)/pytest -n 2 --dist loadgroup --durations 10 && $(BIN)/labkit validate && $(BIN)/labkit experiment --check

notebooks: install  ## .ipynb from .py, only what changed
	$(BIN)/labkit build

experiments: install  ## what the verdicts rest on, only what is missing
	$(BIN)/labkit experiment --all

lab:  ## your copies of the labs and chapters, in work/; installs what they need, once
	test -x $(BIN)/labkit || ($(PYTHON) -m venv .venv && $(PIP) --editable .) && $(BIN)/labkit lab

validate: install  ## on a GPU: make validate DEVICE=cuda
	$(BIN)/labkit validate --device $(or $(DEVICE),cpu)

robust: install  ## the outputs and the checks on stand-ins for other machines
	$(BIN)/labkit validate --matrix

grade: install  ## make grade DIR=my-course
	$(BIN)/labkit grade "$(or $(DIR),$(error say which course: make grade DIR=my-course))"

seeds: install  ## no verdict depends on the seed: 200 seeds of every exercise
	LABKIT_SEEDS=200 $(BIN)/pytest -n auto tests/exercises/test_seeds.py

bench: install  ## grading against stock nbgrader, the model against PyTorch's own
	$(BIN)/python benchmarks/grading.py && $(BIN)/python benchmarks/vit.py
