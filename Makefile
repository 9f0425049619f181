# make demo    the built-in capture, from its videos to video.mp4, comparison.png and report.html
# make test    all tests
# make doctor    what this machine lacks, and what scenes will cost (SCENE=..., ARGS="--cameras 20 --size 1352x1014")
# make lint    formatting, style, types, and what imports what
# make clean-scene SCENE=demo    remove one scene's results, to free disk space
# Needs Python 3.11 or newer (with venv) and make; everything else goes into .venv, once.

PYTHON ?= python3
CORES ?= 2
SHELL := /bin/bash
# As they were given: neither make nor a shell may evaluate what is in them.
override SCENE := $(value SCENE)
override ARGS := $(value ARGS)
export SCENE ARGS

.DEFAULT_GOAL := help
.PHONY: help demo doctor test lint clean-scene

help:
	@sed -n '1,/^$$/s/^# //p' Makefile

INSTALL := .venv/bin/python -m pip install --quiet --disable-pip-version-check
# Files that are not as they were published are refused. Source is built with what is installed, not with what pip fetches.
HASHED := $(INSTALL) --require-hashes --no-deps --no-build-isolation

# The stamp is newer than what was installed, so a change of the requirements installs again.
.venv/.installed: requirements.txt constraints.txt envs/hashes/build.txt envs/hashes/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "mixdepth needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1 || echo not found)."; \
	  echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Setting up .venv (once; about 2 minutes, most of it the download of torch) ..."
	@$(PYTHON) -m venv .venv || { \
	  echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(HASHED) -r envs/hashes/build.txt
	@$(HASHED) -r envs/hashes/run.txt
	@$(INSTALL) $$(grep ^torch== requirements.txt) -c constraints.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@found=$$(.venv/bin/python -m pip check) || { echo "$$found"; exit 1; }
	@touch $@
	@echo "Setting up .venv: done."

.venv/.installed-dev: .venv/.installed envs/hashes/dev.txt
	@echo "Adding what tests and formatting need to .venv (once, seconds) ..."
	@$(HASHED) -r envs/hashes/dev.txt
	@touch $@

demo: .venv/.installed
	@echo "Running the demo on $(CORES) cores (about 5 minutes on two; run it again to go on after an interrupt) ..."
	@.venv/bin/snakemake --cores $(CORES) results/demo/video.mp4 results/demo/comparison.png results/demo/report.html
	@echo
	@echo "The demo is in $(CURDIR)/results/demo:"
	@echo "  video.mp4        the held-out camera: rendered colour and depth beside its own video"
	@echo "  comparison.png   what each kind of depth supervision changes"
	@echo "  report.html      everything in one page"

# Before the installation by any Python (an old one says that it is). Its status is for programs: make would add an error of its own to what it says.
doctor:
	@if [ -x .venv/bin/python ]; then python=.venv/bin/python; else python=$(PYTHON); fi; \
	  PYTHONPATH=src "$$python" -m mixdepth doctor $${SCENE:+"$$SCENE"} $$ARGS || true

test: .venv/.installed-dev
	@.venv/bin/python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder

lint: .venv/.installed-dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/snakefmt --check Snakefile workflow/Snakefile rules workflow
	@.venv/bin/snakemake --lint
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache

# Checked in Python, as is whether something runs.
clean-scene:
	@if [ -x .venv/bin/python ]; then python=.venv/bin/python; else python=$(PYTHON); fi; \
	  PYTHONPATH=src "$$python" -m mixdepth.cli.clean
