# The two commands of the README are `make demo` and `make test`; both install what they need into .venv.
# Python 3.11 or newer: the first of these that is; name another with `make PYTHON=...`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e
OUT ?= out

.PHONY: demo test browser lint format study benchmark gallery docs clean

demo: .venv/.demo
	$(BIN)/diffus demo --out $(OUT)/demo

test: .venv/.dev browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

# The viewer's tests drive a browser, and scenes are drawn by EGL. Debian's are installed where that is allowed;
# without a browser those tests are skipped.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	apt-get install -y -qq chromium libegl1 libgl1-mesa-dri >/dev/null; } || \
	echo "No Chromium: the viewer's tests are skipped. To run them: apt-get install chromium libegl1 libgl1-mesa-dri"

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

study: .venv/.dev
	$(BIN)/python -m pytest -m slow

benchmark: .venv/.dev
	for name in frame propagation point_targets viewer; do $(BIN)/python "benchmarks/$$name.py" || exit 1; done

gallery: .venv/.dev
	for script in docs/*.py; do $(BIN)/python "$$script" || exit 1; done

docs: .venv/.dev
	$(BIN)/mkdocs build --strict --quiet
	@echo "The documentation: out/site/index.html"

clean:
	rm -rf .venv out dist .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) '.[demo]'
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) '.[dev]'
	@touch $@ .venv/.demo
