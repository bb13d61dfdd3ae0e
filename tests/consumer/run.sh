#!/usr/bin/env bash
# Installs a build into a folder of its own, then builds and runs a project against it.
#
#   tests/consumer/run.sh BUILD_DIR
set -euo pipefail
build=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

cmake --install "$build" --prefix "$place/prefix" >"$place/log" || { cat "$place/log"; exit 1; }
cmake -S "$here" -B "$place/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$place/prefix" >"$place/log" 2>&1 || { cat "$place/log"; exit 1; }
cmake --build "$place/build"
"$place/build/consumer" "$place/prefix/share/collie_actor/configs/tiny.json"
"$place/prefix/bin/collie-actor-node" --version
