# Sourced by examples/quickstart and tests/run: which Debian packages the project needs, and how
# they come onto the machine.
# shellcheck shell=bash

# What the sourcing scripts use.
# shellcheck disable=SC2034
collie_build_packages=(
  g++ cmake ninja-build pkg-config libcaf-dev libdnnl-dev libsimdjson-dev nlohmann-json3-dev
  libfmt-dev libhwy-dev libxxhash-dev libpcre2-dev libutf8proc-dev libcli11-dev
  ocl-icd-opencl-dev  # the CMake configuration of libdnnl-dev insists on it
)
# shellcheck disable=SC2034
collie_test_packages=(
  libboost-test-dev python3 ccache clang-14 libclang-rt-14-dev clang-format-14
)

collie_fail() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# The command that follows, as root.
collie_as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    collie_fail "this needs root: run it as root, or install sudo, or have root run: $*"
  fi
}

# Its output only when it fails.
collie_quietly() {
  local log
  log=$(mktemp)
  if "$@" >"$log" 2>&1; then
    rm -f "$log"
    return 0
  fi
  cat "$log" >&2
  rm -f "$log"
  return 1
}

collie_apt_get() {
  collie_quietly collie_as_root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@"
}

collie_is_installed() {
  dpkg -s "$1" 2>/dev/null | grep -q '^Status: install ok installed$'
}

# Installs those of its arguments that are not there; says nothing when all are.
collie_install_missing() {
  local package missing=()
  for package; do
    collie_is_installed "$package" || missing+=("$package")
  done
  if [ "${#missing[@]}" -eq 0 ]; then return 0; fi
  printf 'installing %s\n' "${missing[*]}"
  collie_apt_get update || collie_fail "apt-get update failed: is Debian's mirror reachable?"
  collie_apt_get install -y --no-install-recommends "${missing[@]}" ||
    collie_fail "apt-get could not install ${missing[*]}"
}
