# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test coverage test-faults test-cluster lint types clean

demo: $(VENV)/.installed  ## set up, then the whole method on the built-in cohort, to its report
	$(BIN)/gansfer run configs/phantom.yaml

test: $(VENV)/.installed-test  ## the test suite, without what needs a GPU or a cluster
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not gpu and not slurm and not container and not faults" \
		--cov --cov-report=

coverage:  ## which lines the last `make test` has not run
	$(BIN)/python -m coverage report

test-faults: $(VENV)/.installed-test  ## one fault of each kind: what it leaves is undisturbed, or told
	$(BIN)/python -m pytest tests/faults -m faults

test-cluster: $(VENV)/.installed-test  ## a real SLURM and a real Apptainer on this machine, as root
	$(BIN)/python -m pytest tests/slurm tests/container -m "slurm or container" -rs

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[run]"
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed jobs/image/requirements-propagation.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[run,tensorboard,test]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r jobs/image/requirements-propagation.txt
	touch $@

clean:  ## forget the virtual environment and the caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .coverage build *.egg-info
