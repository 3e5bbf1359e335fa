"""Whether the bundles that revisions run from are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

# What is wrong with the bundle of this digest in the directory of bundles; "" if nothing is.
Verify = Callable[[Path, str], str]


def is_present(bundles: Path, digest: str) -> str:
    """The least that can be asked of a bundle: that it is there and not empty."""
    try:
        has_content = any((bundles / digest).iterdir())
    except OSError as err:
        return err.strerror or str(err)
    return "" if has_content else "it is empty"


def bundle_faults(bundles: Path, digests: Iterable[str], verify: Verify) -> list[str]:
    """A line for each bundle that is missing or not what its name says; the only place where bundles are verified."""
    verdicts = ((digest, verify(bundles, digest)) for digest in sorted(digests))
    return [f"bundle {digest}: {what}" for digest, what in verdicts if what]
