#!/usr/bin/env bash
# Licences, bans and advisories of the dependency tree, by deny.toml. Builds cargo-deny once, into .tools/ (or
# $TRIBUTARY_TOOLS), where it is not there yet.
#
# The advisory database is a git repository on the network. Where it cannot be had, this says so loudly and goes on: a
# build without a network must be possible, and must not look as if the advisories had been read.
set -euo pipefail
me=deny
# shellcheck source=deploy/local/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

deny_home=$tools/cargo-deny-$deny_version
cargo_deny=$deny_home/bin/cargo-deny

# Unoptimised as far as it goes: it runs for seconds, and its own release profile would take three times as long to build.
build() {
  mkdir -p "$tools/tmp"
  exec 9>"$tools/tmp/lock"
  flock 9
  [[ ! -x "$cargo_deny" ]] || return 0
  echo "deny: building cargo-deny $deny_version, once, into $deny_home" >&2
  local target=$tools/tmp/cargo-deny.$$
  trap 'rm -rf "$tools"/tmp/*.$$' EXIT
  CARGO_TARGET_DIR=$target CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false \
    cargo install cargo-deny --version "=$deny_version" --locked --quiet --root "$target.root" >&2
  mkdir -p "$deny_home/bin"
  mv "$target.root/bin/cargo-deny" "$cargo_deny"
}

advisories() {
  mkdir -p "$tools/tmp"
  if timeout 120 "$cargo_deny" fetch db >"$tools/tmp/advisories.log" 2>&1; then
    "$cargo_deny" --offline check --hide-inclusion-graph advisories
    return
  fi
  {
    echo "=============================================================================="
    echo "ADVISORIES NOT CHECKED: the advisory database could not be fetched. It said:"
    grep -m 3 -E 'error|fail|resolve|timed' "$tools/tmp/advisories.log" || echo "  nothing within 120 s"
    echo "=============================================================================="
  } >&2
}

[[ -x "$cargo_deny" ]] || build
cd "$root"
"$cargo_deny" --locked check --hide-inclusion-graph licenses bans sources
advisories
