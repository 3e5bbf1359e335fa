#!/usr/bin/env bash
# Puts Debian's Prometheus (server and promtool) into .tools/prometheus for the tests, and starts nothing.
# Needs apt; without it, or without a network, it says so and the tests that need Prometheus are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
target=.tools/prometheus

skip() {
  echo "prometheus: not installed ($1); the tests that need it are skipped" >&2
  mkdir -p "$target" && touch "$target/.tried"
  exit 0
}

[ -x "$target/usr/bin/promtool" ] && { touch "$target/.tried"; exit 0; }
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || skip "no apt on this machine"
echo "prometheus: fetching Debian's package for the tests (once)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
if ! (cd "$scratch" && timeout 60 apt-get -qq download prometheus >/dev/null 2>&1); then
  [ "$(id -u)" = 0 ] || skip "apt has no package list, and only root may fetch one"
  timeout 120 apt-get -qq update >/dev/null 2>&1 || skip "apt-get update failed"
  (cd "$scratch" && timeout 120 apt-get -qq download prometheus >/dev/null 2>&1) || skip "the package cannot be fetched"
fi
mkdir -p "$target"
dpkg-deb -x "$scratch"/prometheus_*.deb "$target"
touch "$target/.tried"
