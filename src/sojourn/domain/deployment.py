"""What is deployed: revisions of functions, and how a new one takes over from the old."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from sojourn.domain.function import FunctionManifest
from sojourn.errors import ConfigurationError, DeploymentError

REVISION: Final = re.compile(r"[0-9a-f]{12}")
ALL_AT_ONCE: Final = "all-at-once"
CANARY: Final = "canary"
_SHARES_DEFAULT: Final = (0.05, 0.25, 0.5)
_STEPS_MAX: Final = 20
_REVISION_DIGITS: Final = 12


class RolloutPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a new revision, once it is warm, takes traffic from the one before.

    Args:
        strategy: `"all-at-once"`, or `"canary"`: share by share, watched.
        shares: Of the traffic, one per step, in (0, 1), ascending; the last step is followed by all of it.
        step_s: How long each share is kept at least, in seconds, > 0.

    Raises:
        ConfigurationError: All that cannot be, in one message.
    """

    strategy: str = ALL_AT_ONCE
    shares: tuple[float, ...] = _SHARES_DEFAULT
    step_s: float = 60.0

    def __post_init__(self) -> None:
        faults = []
        if self.strategy not in {ALL_AT_ONCE, CANARY}:
            faults.append(f'strategy must be "{ALL_AT_ONCE}" or "{CANARY}", not {self.strategy!r}')
        if not 1 <= len(self.shares) <= _STEPS_MAX:
            faults.append(f"shares must be 1 to {_STEPS_MAX} numbers, not {len(self.shares)}")
        if not all(0 < share < 1 for share in self.shares) or list(self.shares) != sorted(set(self.shares)):
            faults.append(
                f"shares must ascend and lie in (0, 1), not {', '.join(f'{share:g}' for share in self.shares)}"
            )
        if not 0 < self.step_s <= 86_400:
            faults.append(f"step_s must be in (0, 86400] seconds, not {self.step_s:g}")
        if faults:
            raise ConfigurationError("rollout: " + "; ".join(faults))


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of a function: code, settings and dependencies, for good.

    Args:
        function: Its function's name.
        revision: Twelve hex digits of the hash of all three.
        bundle: SHA-256 (hex) of the source tree it runs from.
        manifest: What its import declared; `root` is empty here, since it depends on where the bundle lies.
        dependencies: Distributions the import loaded, with their versions.
        created_at_s: When it was deployed first, in seconds since the epoch.
    """

    function: str
    revision: str
    bundle: str
    manifest: FunctionManifest
    dependencies: dict[str, str] = {}
    created_at_s: float = 0.0


def deployment_key(function: str, revision: str) -> str:
    """How a revision that runs is called: `name@revision`."""
    return f"{function}@{revision}"


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What the import of a target has told.

    Args:
        functions: Manifests of what it declares, in the order of declaration.
        dependencies: Distributions that the import loaded, with their versions; looked for in bundles only.
    """

    functions: list[FunctionManifest]
    dependencies: dict[str, str] = {}


def revision_of(bundle: str, manifest: FunctionManifest, dependencies: Mapping[str, str]) -> str:
    """The name of a revision: twelve hex digits of the hash of its code, its settings and its dependencies.

    The same of all three is the same revision, wherever the bundle lies and whenever it was deployed; the order of
    keys says nothing. Schemas and examples follow from the code, so they are not looked at.

    Args:
        bundle: Digest of its bundle.
        manifest: Its target, attribute and settings.
        dependencies: Distribution names and versions.
    """
    parts = {
        "bundle": bundle,
        "target": manifest.target,
        "attribute": manifest.attribute,
        "settings": manifest.settings,
        "dependencies": dict(dependencies),
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:_REVISION_DIGITS]


def renamed(manifest: FunctionManifest, name: str) -> FunctionManifest:
    """The same function under another name; its revision, of which the name is a part, is to be taken anew.

    Raises:
        ConfigurationError: The name cannot be used.
    """
    return msgspec.structs.replace(manifest, settings=msgspec.structs.replace(manifest.settings, name=name))


def deployed_as(manifests: Sequence[FunctionManifest], name: str) -> list[FunctionManifest]:
    """The functions of a bundle under the name that was asked for.

    Args:
        manifests: All that the bundle declares.
        name: For its single function; empty leaves each its own.

    Raises:
        DeploymentError: There are several, and one name; the message lists them.
        ConfigurationError: The name cannot be used.
    """
    if not name:
        return list(manifests)
    if len(manifests) != 1:
        names = ", ".join(manifest.name for manifest in manifests) or "none"
        raise DeploymentError(
            f"one name, {name!r}, for {len(manifests)} functions ({names}): deploy a file with one function, "
            "or leave the name out and write name=... above each"
        )
    return [renamed(manifests[0], name)]
