#!/usr/bin/env bash
# Makes a Debian or Ubuntu machine able to build Tributary: installs the system packages that are missing.
#
#   deploy/local/setup.sh          what `cargo build` needs
#   deploy/local/setup.sh test     also Java 17, Maven and Python, for the real broker, the registry and the reader
#
# Does nothing, quickly, when all is there. Changes nothing but system packages: as root, or by `sudo` where that asks
# for no password; otherwise it prints the line to run and exits 1.
# shellcheck disable=SC2317 # shellcheck does not see that `need` calls its arguments
set -euo pipefail

missing=()
need() { # PACKAGE CHECK...: asks for the thing itself, not for the package: one that came by other means counts
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

has() { command -v "$1"; }

any_file() { compgen -G "$1" || compgen -G "$2"; }

libclang() { [[ -n "${LIBCLANG_PATH:-}" ]] || any_file '/usr/lib/llvm-*/lib/libclang*.so*' '/usr/lib*/libclang*.so*'; }

java_17() {
  local java release version
  java=$(readlink -f "$(command -v "${JAVA_HOME:+$JAVA_HOME/bin/}java")") || return 1
  # A JDK's release file answers at once; starting Java to ask for its version takes a third of a second.
  release=${java%/bin/java}/release
  if [[ -r "$release" ]]; then
    version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$release")
  else
    version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
  fi
  ((${version:-0} >= 17))
}

# The distribution's own Java may be older than 17 (Ubuntu 22.04 has 11); it then also has 17 by name.
java_package() {
  local default
  default=$(apt-cache policy default-jre-headless 2>/dev/null | sed -n 's/^ *Candidate: 2:1\.\([0-9]*\).*/\1/p')
  if ((${default:-0} >= 17)); then echo default-jre-headless; else echo openjdk-17-jre-headless; fi
}

find_missing() { # build|test
  need cmake has cmake
  need clang has clang
  need libclang-dev libclang
  need pkg-config has pkg-config
  need g++ has g++
  need make has make
  need curl has curl
  need ccache has ccache
  need libssl-dev pkg-config --exists libssl
  need libcurl4-openssl-dev pkg-config --exists libcurl
  need zlib1g-dev pkg-config --exists zlib
  need libzstd-dev pkg-config --exists libzstd
  [[ "$1" == test ]] || return 0
  need java java_17
  need maven has mvn
  need python3 has python3
  need python3-venv any_file '/usr/lib/python3*/ensurepip/__init__.py' '/usr/lib64/python3*/ensurepip/__init__.py'
}

install_missing() {
  local as_root=()
  if ! command -v apt-get >/dev/null; then
    echo "setup: missing here: ${missing[*]} (names of Debian's packages). Install them by this system's own means." >&2
    return 1
  fi
  if [[ "$(id -u)" != 0 ]]; then
    as_root=(sudo -n)
    if ! sudo -n true 2>/dev/null; then
      local packages="${missing[*]/#java/$(java_package)}"
      echo "setup: some system packages are missing, and installing them needs root. Run this line, then try again:" >&2
      echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends $packages" >&2
      return 1
    fi
  fi
  echo "setup: installing ${missing[*]}" >&2
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update >&2
  "${apt[@]}" install -y --no-install-recommends "${missing[@]/#java/$(java_package)}" >&2
}

case "${1:-build}" in
  build | test) ;;
  *)
    echo "usage: $0 [test]" >&2
    exit 2
    ;;
esac
# The toolchain is the one thing that this script leaves to its user: which Rust, and where, is theirs to choose.
if ! command -v cargo >/dev/null && [[ ! -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]]; then
  echo "setup: there is no cargo here: install Rust from https://rustup.rs, then try again." >&2
  exit 1
fi
find_missing "${1:-build}"
[[ ${#missing[@]} == 0 ]] && exit 0
install_missing
missing=()
find_missing "${1:-build}"
[[ ${#missing[@]} == 0 ]] && exit 0
echo "setup: installed, and yet not found: ${missing[*]}. Is another one first on the PATH or in JAVA_HOME?" >&2
exit 1
