# make demo | test | test-oldest | test-fiftyone | check | bench | bench-planted | bench-discovery | bench-calibration | bench-changes | bench-streaming | bench-crash | bench-fuzz | bench-serve | bench-scale | train | screenshots | docs: each sets itself up; a second run installs nothing.
PYTHON ?= python3
BIN := .venv/bin
comma := ,
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-oldest test-fiftyone check bench bench-planted bench-discovery bench-calibration bench-changes bench-streaming bench-crash bench-fuzz bench-serve bench-scale train screenshots docs

help: ## list these words
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /	/'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fsearch needs Python 3.11 or newer: make PYTHON=python3.12 …"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	touch $(READY)

demo: $(READY) ## the whole story: portraits, a biased model, and what it fails on
	$(BIN)/fsearch demo

test: $(READY) ## every test, the slow ones too, in a worker more than there are cores (8 at most; tests/conftest.py says which go together)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --no-loadscope-reorder

OLDEST := .venv-oldest
$(OLDEST)/.ready: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(OLDEST)/bin/python -m pip install --quiet --constraint constraints-oldest.txt --editable . --group dev
	touch $@

test-oldest: $(OLDEST)/.ready ## the quick tests with the oldest versions that pyproject.toml allows
	$(OLDEST)/bin/python -m pytest -m "not slow"

FIFTYONE := .venv-fiftyone
$(FIFTYONE)/.ready:
	$(PYTHON) -m venv $(FIFTYONE)
	$(FIFTYONE)/bin/python -m pip install --quiet fiftyone mongomock
	touch $@

test-fiftyone: $(READY) $(FIFTYONE)/.ready ## FiftyOne itself opens what is exported (a gigabyte, apart; no MongoDB needed)
	FIFTYONE_PYTHON=$(CURDIR)/$(FIFTYONE)/bin/python $(BIN)/python -m pytest tests/test_formats.py -k fiftyone

check: $(READY) ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) ## the figures of docs/benchmarks.md
	$(BIN)/python -m benchmarks.run

bench-planted: $(READY) ## worlds where it is known what fails, on the held-out seeds (some hours)
	$(BIN)/python -m benchmarks.planted --held-out $(if $(CLIP),--clip $(CLIP))

bench-discovery: $(READY) ## failures that nobody listed, against rivals, on development seeds (an hour)
	$(BIN)/python -m benchmarks.discovery $(if $(CLIP),--clip $(CLIP))

bench-calibration: $(READY) ## what labels teach of a real CLIP encoder: make bench-calibration CLIP=FOLDER (a quarter of an hour)
	$(BIN)/python -m benchmarks.calibration $(CLIP)
	$(BIN)/python -m benchmarks.calibration $(CLIP) --worlds 0:10

bench-changes: $(READY) ## what got worse from one model to another, paired and unpaired, on development seeds (an hour)
	$(BIN)/python -m benchmarks.changes $(if $(CLIP),--source portraits$(comma)clip-caltech --clip $(CLIP))
	$(BIN)/python -m benchmarks.changes --discover $(if $(CLIP),--source portraits$(comma)clip-caltech --clip $(CLIP))

bench-streaming: $(READY) ## memory while 100,000 images of a WebDataset stream by (ten minutes)
	$(BIN)/python -m benchmarks.streaming

bench-crash: $(READY) ## kill it a thousand times and count what is lost (half an hour)
	$(BIN)/python -m benchmarks.crash --kills $(or $(KILLS),1000)

bench-fuzz: $(READY) ## 200,000 hostile files: what is neither read nor refused in one line (a quarter of an hour)
	$(BIN)/python -m benchmarks.fuzz --cases $(or $(CASES),200000)

bench-serve: $(READY) ## ten browsers of fsearch serve at once, a hundred new phrases each (some minutes)
	$(BIN)/python -m benchmarks.serve --questions $(or $(QUESTIONS),100)

RIVAL := build/autofaiss
$(RIVAL)/.ready:
	$(PYTHON) -m venv $(RIVAL)
	$(RIVAL)/bin/python -m pip install --quiet 'autofaiss>=2.18' 'faiss-cpu<1.9' 'numpy<2' 'pandas<3' 'pyarrow<18'
	touch $(RIVAL)/.ready

bench-scale: $(READY) $(RIVAL)/.ready ## cost from 100,000 to 10,000,000 images (an hour, 30 GB of disk)
	$(BIN)/python -m benchmarks.scale --autofaiss $(RIVAL)/bin/python --work build

train: $(READY) ## train the demo's encoder (about an hour on 2 cores; resumable) and black box again
	$(BIN)/python -m fsearch.data.training.train_encoder --work build/portraits
	$(BIN)/python -m fsearch.data.training.support
	$(BIN)/python -m fsearch.data.training.train_blackbox

screenshots: $(READY) ## the pictures of the README, from the demo's workspace (needs Chromium)
	$(BIN)/python -m benchmarks.screenshots

docs: $(READY) ## make the pages that come from the code
	$(BIN)/python -m fsearch.indexer.storage.schema > docs/schema.md
	$(BIN)/python -c 'from fsearch.search.json_schema import document; print(document(), end="")' > docs/schema.json
