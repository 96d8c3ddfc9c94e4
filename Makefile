# Plain rules, for GNU make 3.81 (macOS) and later, and for BSD make.

VENV_PYTHON = .venv/bin/python
ROLE =
ARGS =
VERSION =

help:
	@echo 'make run      the whole stack on this machine, in the foreground; Ctrl-C stops it; ARGS=--record records it'
	@echo 'make test     every test'
	@echo 'make chaos    inject faults at random, check every write; ARGS="--minutes 10 --seed 7 --only node-kill"'
	@echo 'make fuzz     random exchange histories, every report compared with the truth; ARGS="--messages 1000000 --seed 7"'
	@echo 'make test-ccxt  the tests that need ccxt; installs it, with other versions of some packages'
	@echo 'make compose-test  docker-compose.yml in real containers (Docker or podman)'
	@echo 'make lint     ruff and mypy'
	@echo 'make bench    the benchmarks'
	@echo 'make docs     the documentation site, in .local/site; fails on a dead link'
	@echo 'make release VERSION=0.2.0  what a release consists of, in dist/'
	@echo 'make reference  the pages of docs/ that are made from the code'
	@echo 'make lock     pin requirements*.in: versions and hashes'
	@echo 'With recordings (make run ARGS=--record, then ". .local/env"), see docs/recordings.md and docs/batch.md:'
	@echo '.venv/bin/celery -A tasks audit      compare live reports with those computed from recordings'
	@echo '.venv/bin/celery -A tasks backfill --from -1h   compute past reports again; needs -Q node-001.batch'
	@echo 'While "make run" runs, in another terminal:'
	@echo 'make status   show all roles; make stop|start|kill ROLE=node-002   control one of them'

run: .venv/installed
	@exec $(VENV_PYTHON) -m tools.local $(ARGS)

status: .venv/installed
	@exec $(VENV_PYTHON) -m tools.local status

start stop kill: .venv/installed
	@test -n '$(ROLE)' || { echo 'error: ROLE is missing; for example: make $@ ROLE=node-002 (make status lists all roles)' >&2; exit 2; }
	@exec $(VENV_PYTHON) -m tools.local $@ '$(ROLE)'

test: .venv/installed-dev
	@exec $(VENV_PYTHON) -m pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder

test-ccxt: .venv/installed-dev
	@sh tools/local/install.sh requirements-ccxt.txt
	@exec $(VENV_PYTHON) -m pytest tests/ingest/test_ccxt_process.py

compose-test: .venv/installed-dev
	@exec $(VENV_PYTHON) -m pytest -s tests/deploy/compose_run.py

lint: .venv/installed-dev
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy .

chaos: .venv/installed-dev
	@exec $(VENV_PYTHON) -m tools.chaos $(ARGS)

fuzz: .venv/installed-dev
	@exec $(VENV_PYTHON) -m tools.fuzz $(ARGS)

bench: .venv/installed-dev
	@exec $(VENV_PYTHON) -m tools.benchmarks

reference: .venv/installed-dev
	@exec $(VENV_PYTHON) -m tools.reference

docs: .venv/installed-dev
	@exec $(VENV_PYTHON) -m mkdocs build

release: .venv/installed-dev
	@test -n '$(VERSION)' || { echo 'error: VERSION is missing; for example: make release VERSION=0.2.0' >&2; exit 2; }
	@exec $(VENV_PYTHON) -m tools.release '$(VERSION)' $(ARGS)

lock: .venv/installed-dev
	@sh tools/local/lock.sh

.venv/installed: requirements.txt tools/local/redis-server.txt pyproject.toml
	@sh tools/local/install.sh requirements.txt

.venv/installed-dev: requirements.txt requirements-dev.txt tools/local/redis-server.txt pyproject.toml
	@sh tools/local/install.sh requirements-dev.txt

.PHONY: help run status start stop kill test test-ccxt compose-test chaos fuzz lint bench docs release reference lock
