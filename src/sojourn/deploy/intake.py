"""Takes archives in: stored, imported, named; and sweeps away the source trees that nothing refers to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from time import time
from typing import Final

import msgspec

from sojourn.bundle.store import BundleStore
from sojourn.deploy.ports import Describe
from sojourn.domain.deployment import Revision, deployed_as, revision_of
from sojourn.domain.deployment_status import DeployAsked
from sojourn.errors import DeploymentError

_AT_ONCE: Final = 2
_WAITING_MAX: Final = 8
_END_S: Final = 10.0


class Intake:
    """Eight archives come in at once, two are unpacked and imported; a sweep waits for none and none is lost to one.

    Args:
        bundles: Where source trees are kept.
        describe: Imports a target in a process of its own.
    """

    def __init__(self, bundles: BundleStore, describe: Describe) -> None:
        self._bundles = bundles
        self._describe = describe
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._taking = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._sweeping = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def taken(self, upload: AsyncIterator[bytes], asked: DeployAsked) -> AsyncIterator[list[Revision]]:
        """The revisions of an archive, for as long as it takes to write them down: until then its tree is not swept.

        Raises:
            DeploymentError: Too many wait, or one name was given for several functions.
            BundleError: The archive is not taken.
            TargetError: It cannot be imported, or declares nothing.
            StateError: It cannot be stored.
        """
        if self._taking >= _WAITING_MAX:
            raise DeploymentError(f"{self._taking} deploys are being taken in already; try again in a moment")
        self._taking += 1
        self._idle.clear()
        try:
            archive = await self._bundles.receive(upload)  # a slow client takes nobody's turn
            try:
                async with self._turns:
                    async with self._sweeping:  # one under way knows nothing of this tree, and a later one waits
                        pass
                    digest = await asyncio.to_thread(self._bundles.add, archive)
                    described = await self._describe(asked.target, self._bundles.path_of(digest))
            finally:
                self._bundles.drop(archive)
            yield [
                Revision(
                    function=manifest.name,
                    revision=revision_of(digest, manifest, described.dependencies),
                    bundle=digest,
                    manifest=msgspec.structs.replace(manifest, root=""),
                    dependencies=described.dependencies,
                    created_at_s=time(),
                )
                for manifest in deployed_as(described.functions, asked.name or "")
            ]
        finally:
            self._taking -= 1
            if not self._taking:
                self._idle.set()

    async def close(self) -> None:
        """Wait until all that was taken in is let go: whoever was told to stop has a process and a directory to end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._idle.wait()

    async def sweep(self, referenced: Callable[[], Awaitable[set[str]]]) -> None:
        """Remove trees that are not referred to; while an archive is taken in, nothing is: a later sweep will.

        Args:
            referenced: Asked for the digests to be kept once no archive can come in between.

        Raises:
            StateError: It is not known what is referred to, or the store cannot be read.
        """
        async with self._sweeping:
            if not self._taking:
                await asyncio.to_thread(self._bundles.sweep, await referenced())
