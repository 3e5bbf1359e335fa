"""The source trees that revisions run from: where they lie, and whether they still are what their digest says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from sojourn.bundle.store import BundleStore
from sojourn.domain.deployment import Revision
from sojourn.domain.function import FunctionManifest
from sojourn.errors import BundleError, DeploymentError, StateError


class SourceTrees:
    """Makes a kept revision one that runs here.

    Args:
        bundles: Where the trees lie.
        adjusted: A manifest with what the server's configuration says of its function.
    """

    def __init__(self, bundles: BundleStore, adjusted: Callable[[FunctionManifest], FunctionManifest]) -> None:
        self._bundles = bundles
        self._adjusted = adjusted

    def manifest_of(self, revision: Revision) -> FunctionManifest:
        """Its manifest as it runs here: under its revision's name, from where its tree lies.

        Raises:
            BundleError: Its tree is gone.
            ConfigurationError: What this server's configuration says of its function does not go with it.
        """
        root = str(self._bundles.path_of(revision.bundle))
        return self._adjusted(msgspec.structs.replace(revision.manifest, revision=revision.revision, root=root))

    async def damage(self, revisions: Iterable[Revision]) -> dict[str, str]:
        """What is wrong with the trees of these revisions, by digest; each is read once, off the loop."""
        return await asyncio.to_thread(self._damage, sorted({revision.bundle for revision in revisions}))

    def _damage(self, digests: Iterable[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for digest in digests:
            try:
                self._bundles.verify(digest)
            except (BundleError, StateError) as err:
                found[digest] = str(err)
        return found

    async def refuse_damaged(self, revision: Revision) -> None:
        """Refuse a revision that cannot run as it was deployed.

        Raises:
            DeploymentError: Its tree is damaged or gone.
        """
        damage = (await self.damage([revision])).get(revision.bundle)
        if damage is not None:
            raise DeploymentError(
                f"revision {revision.revision} of function {revision.function!r} cannot be served: {damage}"
            )
