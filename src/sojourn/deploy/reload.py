"""Serves a file anew when it has changed: a fresh import, the new revision beside the old one, then in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Final, NamedTuple

from sojourn.deploy.ports import Traffic
from sojourn.domain.function import FunctionManifest
from sojourn.errors import ConfigurationError, SojournError
from sojourn.runtime.platform import Platform

_TAKEN: Final = (
    "a function of this name was deployed to this server; `sojourn delete {name}` takes it away, then save again, or give "
    'this one another name="..."'
)


class Reloaded(NamedTuple):
    """What became of one function: the revision before and after (empty if it was not there, or is gone), and why not.

    `took_s` is the time until it answered, in seconds; `failure` is empty if the new revision serves.
    """

    function: str
    before: str
    after: str
    took_s: float = 0.0
    failure: str = ""


class Reloader:
    """Keeps a server at the latest version of a target that works.

    Args:
        platform: Runs its functions.
        traffic: Which revision a name means.
        describe: Imports the target in a fresh process; raises `TargetError` as `sojourn.launcher.describe` does.
        drain_s: How long a revision that is replaced may take to end what it has, in seconds.
        named: Names of the functions that are the target's, kept up to date here: others cannot be deployed under them,
            and those deployed under other names are left alone.
    """

    def __init__(
        self,
        platform: Platform,
        traffic: Traffic,
        describe: Callable[[], Awaitable[Sequence[FunctionManifest]]],
        drain_s: float,
        named: set[str],
    ) -> None:
        self._platform = platform
        self._traffic = traffic
        self._describe = describe
        self._drain_s = drain_s
        self._named = named
        self._retiring: set[asyncio.Task[None]] = set()

    async def reload(self) -> list[Reloaded]:
        """Import the target anew and serve what has changed; what fails leaves its last good version running.

        Raises:
            TargetError: It cannot be imported: everything stays as it is. The message names the author's line.
        """
        manifests = {manifest.name: manifest for manifest in await self._describe()}
        done = [await self._renew(manifest) for manifest in manifests.values() if self._is_new(manifest)]
        for name in sorted(self._named - manifests.keys()):
            self._named.remove(name)
            service = self._platform.services.get(name)
            if service is None:  # no version of it has loaded
                continue
            self._traffic.remove(name)
            self._later(self._platform.remove(name, self._drain_s))
            done.append(Reloaded(name, service.revision, ""))
        return done

    def serving(self) -> list[str]:
        """What serves now, as `name@revision`, in order."""
        return sorted(service.key for service in self._platform.services.values())

    def _is_new(self, manifest: FunctionManifest) -> bool:
        service = self._platform.services.get(manifest.name)
        return service is None or service.revision != manifest.revision

    async def _renew(self, manifest: FunctionManifest) -> Reloaded:
        name, began_at_s = manifest.name, monotonic()
        stable = self._platform.services.get(name)
        before = stable.revision if stable is not None else ""
        if stable is not None and name not in self._named:
            return Reloaded(name, before, manifest.revision, failure=_TAKEN.format(name=name))
        self._named.add(name)  # before the first wait: a deploy meanwhile is refused
        try:
            service = self._platform.launch(manifest)
        except ConfigurationError as err:
            return Reloaded(name, before, manifest.revision, failure=str(err))
        try:
            failure = await self._platform.warm(name, manifest.revision)
        except SojournError as err:
            failure = str(err)
        if failure:
            self._later(self._platform.retire(name, manifest.revision, 0.0))
            return Reloaded(name, before, manifest.revision, failure=failure)
        self._platform.make_live(name, manifest.revision)
        self._traffic.pin(service)
        self._traffic.direct(service)
        if stable is not None:
            self._traffic.remove(name, before)
            self._later(self._platform.retire(name, before, self._drain_s))
        return Reloaded(name, before, manifest.revision, monotonic() - began_at_s)

    def _later(self, ending: Awaitable[bool]) -> None:
        """In the background: nobody waits for a revision that has no traffic any more."""

        async def end() -> None:
            await ending

        task = asyncio.create_task(end(), name="retire")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """Do not wait any longer for those that end."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
