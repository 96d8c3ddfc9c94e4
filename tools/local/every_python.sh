#!/usr/bin/env bash
# Tries the install and `make run` with every Python from 3.11 on that this machine has, pyenv's included: a fresh clone
# of HEAD, no Redis server on the PATH, six reports, Ctrl-C, nothing left behind.
# Usage: bash tools/local/every_python.sh   (from the project's root)
set -euo pipefail
set -m # each `make run` gets a process group of its own, which a Ctrl-C reaches as a whole

root=$(git rev-parse --show-toplevel)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
version='import sys; print("{}.{}".format(*sys.version_info))'

# The programs on the PATH but for the Redis servers.
mkdir "$folder/bin"
IFS=: read -ra places <<<"$PATH"
for place in "${places[@]}"; do
    find "$place" -maxdepth 1 ! -type d ! -name 'redis-*' ! -name 'valkey-*' -exec ln -s -t "$folder/bin" {} + 2>/dev/null || true
done

try() { # try PYTHON
    clone=$folder/$("$1" -c "$version")
    git clone --quiet "$root" "$clone"
    (cd "$clone" && exec env PATH="$folder/bin" PYTHON="$1" make run) >"$clone.log" 2>&1 &
    local run=$!
    for _ in $(seq 300); do
        if grep -q 'six reports are live' "$clone.log" || ! kill -0 "$run" 2>/dev/null; then break; fi
        sleep 1
    done
    kill -INT -- "-$run" 2>/dev/null || true
    wait "$run" || { echo "make run failed:"; cat "$clone.log"; return 1; }
    grep 'six reports are live' "$clone.log" || { echo "no six reports:"; cat "$clone.log"; return 1; }
    ! pgrep -af "$clone/" || { echo "left behind after Ctrl-C"; return 1; }
    rm -rf "$clone"
}

declare -A tried=()
for python in $(compgen -c python3 | sort -u) ~/.pyenv/versions/*/bin/python; do
    python=$(command -v "$python") || continue
    "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    number=$("$python" -c "$version")
    [ -z "${tried[$number]:-}" ] || continue
    tried[$number]=yes
    echo "Python $number: $python"
    try "$python"
done
[ "${#tried[@]}" -gt 0 ]
