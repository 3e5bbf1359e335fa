#!/usr/bin/env bash
# Makes .venv with Python 3.11 or newer and installs the package, its tools and the demo's model library.
# Asks nothing. PYTHON=/path/to/python picks the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

is_new_enough() {
  command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python3.12 python3.13 python3.14; do
    if is_new_enough "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  echo "setup: Python 3.11 or newer was not found (tried ${PYTHON:+$PYTHON, }python3.11, python3, ...)." >&2
  echo "setup: install it (Debian, Ubuntu: apt install python3.11 python3.11-venv) or say PYTHON=/path/to/python." >&2
  return 1
}

if ! is_new_enough .venv/bin/python; then
  python=$(find_python)
  version=$("$python" -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "setup: Python $version is here, but it cannot make virtual environments (module ensurepip is missing)." >&2
    echo "setup: install it (Debian, Ubuntu: apt install python$version-venv) and try again." >&2
    exit 1
  fi
  echo "setup: making .venv with Python $version"
  "$python" -m venv --clear .venv
fi

echo "setup: installing the package and its tools into .venv (once)"
if ! .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input \
  --constraint constraints.txt --editable '.[dev,demo]'; then
  echo "setup: the installation failed; the lines above say why. Versions are pinned in constraints.txt." >&2
  exit 1
fi
