#!/usr/bin/env bash
# Installs wrk from Debian if it is absent and we are root. Without it overhead.py uses its own closed loop.
set -euo pipefail
if command -v wrk >/dev/null; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "wrk is absent and cannot be installed from here; overhead.py will use closed_loop.py" >&2
  exit 0
fi
apt-get update -qq
apt-get install -y -qq wrk >/dev/null
