PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: env train test lint types slow clean

env: $(VENV)/.ready  ## the environment both commands use

$(VENV)/.ready: pyproject.toml setup.py constraints.txt $(wildcard kernels/csrc/*.c kernels/csrc/*/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

train: env  ## train a WGAN-GP on drawn shapes, and show where its samples and its report are
	run=$$($(BIN)/gankit train wgan-gp --config examples/shapes.toml) && echo "run: $$run" && $(BIN)/gankit report "$$run"

test: env lint types  ## everything CI checks; two tests at a time, each on one thread
	$(BIN)/pytest -m "not slow" -n 2 --dist worksteal

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy sees Any through an editable install's finder, so it is shown the packages as a folder of links.
types: env
	rm -rf .typing && mkdir -p .typing/gankit
	ln -s $(CURDIR)/gankit/* .typing/gankit/
	ln -s $(CURDIR)/kernels $(CURDIR)/plugins $(CURDIR)/cli $(CURDIR)/studies .typing/gankit/
	MYPYPATH=.typing $(BIN)/mypy -p gankit

slow: env  ## the long suites
	$(BIN)/pytest -m slow

clean:
	rm -rf $(VENV) build *.egg-info .typing .mypy_cache .pytest_cache .ruff_cache

aot: env  ## compile the Triton kernels for every target and record registers, spills and widths
	$(BIN)/python benchmarks/aot.py benchmarks/kernels_aot.csv

interpret: env  ## the kernel tests with Triton's interpreter
	TRITON_INTERPRET=1 $(BIN)/pytest -k triton tests/kernels/test_cases.py tests/kernels/test_contract.py tests/kernels/test_mutations.py

impls: env  ## the whole suite once for each implementation that "auto" can be made to prefer
	for impl in ref cpu; do GANKIT_IMPL=$$impl $(BIN)/pytest -m "not slow" || exit 1; done

sanitize: env  ## the C kernels under the address and undefined-behaviour sanitizers
	$(BIN)/python benchmarks/sanitize_kernels.py

bench-gemm: env  ## append rows of matrix products beside torch.mm to benchmarks/gemm.csv
	$(BIN)/python benchmarks/gemm.py --append benchmarks/gemm.csv

bench-convolutions: env  ## append rows of convolutions by Winograd's algorithm to benchmarks/convolutions.csv
	$(BIN)/python benchmarks/convolutions.py --append benchmarks/convolutions.csv

bench-kernels: env  ## append a row per measurement to benchmarks/kernels.csv
	$(BIN)/gankit profile kernels --append benchmarks/kernels.csv

plot: env  ## draw docs/kernels.png
	$(BIN)/python benchmarks/plot_kernels.py

judge: env  ## time the judging of 10,000 Fashion-MNIST images, and the classifier's one training
	$(BIN)/python benchmarks/judge.py

curves: env  ## DCGAN and WGAN-GP on Fashion-MNIST, three seeds: benchmarks/curves.csv and docs/curves.png (half an hour on 2 cores)
	$(BIN)/pip install --quiet matplotlib
	$(BIN)/python benchmarks/curves.py

marks: env  ## train every variant on Fashion-MNIST and hold it to its mark: benchmarks/marks.csv and docs/marks.png (half an hour on 2 cores)
	$(BIN)/python benchmarks/marks.py --png docs/marks.png

studies: env  ## run every study at laptop scale: benchmarks/studies.csv, docs/studies.md and its pictures (two hours on 2 cores)
	$(BIN)/python benchmarks/studies.py

bench-data: env  ## append rows to benchmarks/prepare.csv and benchmarks/resident.csv
	$(BIN)/python benchmarks/prepare.py pictures build/pictures
	$(BIN)/python benchmarks/prepare.py speed build/pictures
	$(BIN)/python benchmarks/prepare.py waiting build/pictures
	$(BIN)/python benchmarks/resident.py build

bench-start: env  ## append rows of how long the commands take to start to benchmarks/start.csv
	$(BIN)/python benchmarks/start.py --append benchmarks/start.csv

.PHONY: bench-gemm bench-start bench-convolutions judge curves marks studies bench-data aot impls interpret sanitize bench-kernels plot

bench-steps: env  ## append rows to benchmarks/steps.csv and draw docs/steps.png (an hour on 2 cores)
	$(BIN)/python benchmarks/steps.py wgan-gp-mlp --epochs 1 --append benchmarks/steps.csv \
		--loop textbook --loop "textbook 2 workers" --loop careful --loop planned --loop "planned bf16" --loop eager
	$(BIN)/python benchmarks/steps.py wgan-gp-mlp --epochs 10 --append benchmarks/steps.csv \
		--loop textbook --loop careful --loop planned --loop "planned bf16"
	$(BIN)/python benchmarks/steps.py dcgan-28 dcgan-32 dcgan-64 wgan-gp-28 wgan-gp-32 wgan-gp-64 --steps 16 --append benchmarks/steps.csv \
		--loop textbook --loop careful --loop eager --loop "careful bf16" --loop "eager bf16"
	$(BIN)/python benchmarks/steps.py cyclegan-128 --steps 8 --append benchmarks/steps.csv \
		--loop textbook --loop careful --loop eager --loop "eager bf16"
	$(BIN)/python benchmarks/plot_steps.py

.PHONY: bench-steps

bench-ablations: env  ## append rows to benchmarks/ablations.csv: what a part of the CPU package gains
	$(BIN)/python benchmarks/ablations.py

.PHONY: bench-ablations

bench-sweep: env  ## append rows to benchmarks/sweep.csv: six cells side by side, and what a cell costs in a sweep of a hundred
	$(BIN)/python benchmarks/sweep.py --append benchmarks/sweep.csv

.PHONY: bench-sweep

bench-shared: env  ## append rows to benchmarks/shared_machine.csv: a run beside other work; docs/shared_machine.md (12 minutes on 2 cores)
	$(BIN)/python benchmarks/shared_machine.py --append benchmarks/shared_machine.csv --doc

.PHONY: bench-shared

bench-quality: env  ## scores against seconds of training: benchmarks/time_to_quality.csv, docs/time_to_quality.md and .png (hours)
	$(BIN)/pip install --quiet matplotlib
	$(BIN)/python benchmarks/time_to_quality.py --doc

bench-defaults: env  ## sweeps over rates, norms and averages, held against the papers' values: benchmarks/defaults.csv (hours)
	$(BIN)/python benchmarks/defaults.py

bench-scale: env  ## two ranks beside one process, a slow link, many GPUs on paper: benchmarks/scale.csv, docs/scale.md (8 minutes)
	$(BIN)/python benchmarks/scale.py ranks
	$(BIN)/python benchmarks/scale.py link
	$(BIN)/python benchmarks/scale.py paper

.PHONY: bench-quality bench-defaults bench-scale
