# Every target sets up what it needs on first use and is quick afterwards.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
EXTRAS := gpu,notebook,slurm,dev

.PHONY: help setup demo test check lint types notebooks chaos slurm readme bench clean

help:            ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

setup: $(READY)  ## the virtual environment, with everything pinned

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

demo: $(READY)   ## track three videos on a two-worker cluster; look at demo_output/
	$(BIN)/trackkit demo --output-dir demo_output

test: $(READY)   ## the test suite
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal -m 'not slurm and not chaos'

check: lint types test notebooks  ## what CI runs, but for the demo, chaos and SLURM

lint: $(READY)   ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

notebooks: $(READY)  ## run every notebook from top to bottom
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=600 --timeout=900 notebooks

chaos: $(READY)  ## runs whose client and workers are killed, whose disk is full, whose videos hang
	$(BIN)/python -m pytest -m chaos tests/chaos

slurm: $(READY)  ## run what docs/clusters.md shows on a SLURM that is installed and started on this host
	tests/cluster/install_slurm.sh
	$(BIN)/python -m pytest -m slurm tests/cluster

readme: $(READY) ## write the table of options in the README anew
	$(BIN)/python docs/write_options.py

bench: $(READY)  ## speed and memory, as ratios; tables go to benchmarks/RESULTS.md
	$(BIN)/python benchmarks/pipeline.py --write
	$(BIN)/python benchmarks/scheduling.py --write
	$(BIN)/python benchmarks/sam2_engine.py --quick --write
	$(BIN)/python benchmarks/mini_models.py --write
	$(BIN)/python benchmarks/trust.py --write
	$(BIN)/python benchmarks/threads.py --write

clean:           ## remove what make made
	rm -rf $(VENV) demo_output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
