#!/usr/bin/env bash
# Tries the install and `make run` with every Python from 3.11 that this machine has, also in pyenv, all at once:
# a fresh clone of HEAD, no Redis server on the PATH, all reports, Ctrl-C, nothing left behind.
# Usage: bash tools/local/every_python.sh   (from the project's root)
set -euo pipefail

root=$(git rev-parse --show-toplevel)
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
version='import sys; print("{}.{}".format(*sys.version_info))'

# All programs on the PATH without the Redis servers.
mkdir "$folder/bin"
IFS=: read -ra places <<<"$PATH"
for place in "${places[@]}"; do
    find "$place" -maxdepth 1 ! -type d ! -name 'redis-*' ! -name 'valkey-*' -exec ln -s -t "$folder/bin" {} + 2>/dev/null || true
done

try() { # try PYTHON
    set -m # `make run` gets a process group of its own, which a Ctrl-C reaches as a whole
    local clone run left
    clone=$folder/$("$1" -c "$version")
    git clone --quiet "$root" "$clone"
    (cd "$clone" && exec env PATH="$folder/bin" PYTHON="$1" make run) >"$clone.log" 2>&1 &
    run=$!
    trap 'kill -INT -- "-$run" 2>/dev/null; exit 1' TERM
    for _ in $(seq 300); do
        if grep -q 'reports are live' "$clone.log" || ! kill -0 "$run" 2>/dev/null; then break; fi
        sleep 1
    done
    kill -INT -- "-$run" 2>/dev/null || true
    wait "$run" 2>/dev/null || true # make reports that it was interrupted
    left=$(pgrep -af "$clone/" || true)
    if ! grep 'reports are live' "$clone.log" || [ "$(tail -n 1 "$clone.log")" != Stopped. ] || [ -n "$left" ]; then
        cat "$clone.log"
        echo "error: see above for what happened; left behind: $left"
        return 1
    fi
    rm -rf "$clone"
}

declare -A tried=()
for python in $(compgen -c python3 | grep -x 'python[.0-9]*' | sort -u) ~/.pyenv/versions/*/bin/python; do
    python=$(command -v "$python") || continue
    "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    number=$("$python" -c "$version")
    [ -z "${tried[$number]:-}" ] || continue
    echo "Python $number: $python"
    try "$python" &
    tried[$number]=$!
done
[ "${#tried[@]}" -gt 0 ]
for pid in "${tried[@]}"; do
    wait "$pid"
done
