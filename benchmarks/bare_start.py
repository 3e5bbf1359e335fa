"""`bare_start.py FILE CLASS`: import and load alone, in a process without Sojourn's replica; prints both in seconds."""

from __future__ import annotations

import importlib.util
import sys
import time

begun_at_s = time.perf_counter()
spec = importlib.util.spec_from_file_location("target", sys.argv[1])
assert spec is not None
assert spec.loader is not None
module = importlib.util.module_from_spec(spec)
sys.modules["target"] = module
spec.loader.exec_module(module)
imported_at_s = time.perf_counter()
model = getattr(module, sys.argv[2])()
print(imported_at_s - begun_at_s, time.perf_counter() - imported_at_s, flush=True)
