#!/usr/bin/env bash
# Sees to it that Debian's chromium is there for the tests that open reports in a browser; starts nothing.
# Needs apt, a network and root; without them it says so and those tests are skipped, for the reason in .tools/chromium/.tried.
set -euo pipefail
cd "$(dirname "$0")/.."
target=.tools/chromium

skip() {
  echo "chromium: not installed ($1); the tests that need it are skipped" >&2
  mkdir -p "$target" && echo "$1" > "$target/.tried"
  exit 0
}

there() {
  mkdir -p "$target" && echo "installed" > "$target/.tried"
  exit 0
}

command -v chromium >/dev/null && there
command -v apt-get >/dev/null || skip "no apt on this machine"
[ "$(id -u)" = 0 ] || skip "only root may install it: apt-get install --no-install-recommends chromium"
echo "chromium: installing Debian's package for the tests (once)"
fetch() {
  DEBIAN_FRONTEND=noninteractive timeout 600 apt-get -qq install -y --no-install-recommends chromium >/dev/null 2>&1
}
if ! fetch; then
  timeout 120 apt-get -qq update >/dev/null 2>&1 || skip "apt-get update failed"
  fetch || skip "the package cannot be fetched or installed"
fi
command -v chromium >/dev/null || skip "the package has no chromium"
there
