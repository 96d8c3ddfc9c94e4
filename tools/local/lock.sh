#!/bin/sh
# Pins requirements*.in with versions and hashes, for every platform and Python from 3.11 on.
# Usage: sh tools/local/lock.sh   (from the project's root). UV_OPTIONS=--upgrade takes newer versions.
set -eu
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
for name in requirements requirements-dev; do
    # The lock names no package host: whoever installs chooses where from.
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header --no-annotate ${UV_OPTIONS:-} "$name.in" -o "$name.txt"
done
