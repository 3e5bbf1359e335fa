"""Two revisions of one function side by side in a real server: traffic moves, and no request is lost."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import weakref
from functools import wraps
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from revisions import Client, Load, Site

from sojourn.errors import ConfigurationError, DeploymentError, UnknownFunctionError


def live(story):
    """Run a story on a loop."""

    @wraps(story)
    def test(tmp_path):
        asyncio.run(story(tmp_path))

    return test


async def until(condition, what, patience_s=30.0):
    """Look again and again; used only where nothing can notify us."""
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110 - of processes, which tell nobody
            await asyncio.sleep(0.01)


async def here(service, seconds, count=1):
    """Wait until so many requests for so long a call have been taken in."""
    body = str(seconds).encode()
    await until(lambda: sum(call.body == body for call in service._calls.values()) >= count, "the slow ones")


def replace(site, old, new):
    """All of the traffic moves from one revision to another."""
    site.platform.make_live("model", new.revision)
    site.routes.direct(new)
    site.routes.remove("model", old.revision)


@live
async def test_traffic_moves_from_one_revision_to_the_next_and_no_request_is_lost(tmp_path):
    """Launch, pinned calls, a canary's share, all of it, and the end of the old one, whose replica is killed meanwhile."""
    async with Site(tmp_path) as site:
        platform, old = site.platform, await site.deploy("a")
        async with Load(site) as load:
            await load.more(50)
            new = await site.launch("b")
            assert await platform.warm("model", new.revision) == ""
            assert (await site.call(new.key))[1].startswith("b ")
            assert (await site.call(old.key))[1].startswith("a ")
            assert set(load.served) == {"a"}
            site.routes.split("model", old, new, 0.25)
            await load.more(100)
            os.kill(site.pids(new)[0], signal.SIGKILL)
            await load.more(150)
            before = platform.arm_counts("model", old.revision), platform.arm_counts("model", new.revision)
            slow = [asyncio.create_task(site.call(old.key, 0.4)) for _ in range(2)]
            await here(old, 0.4, 2)
            replace(site, old, new)
            ending = asyncio.create_task(platform.retire("model", old.revision, 30.0))
            await until(lambda: old.is_retiring, "its end to begin")
            os.kill(site.pids(old)[0], signal.SIGKILL)
            await load.more(150)
            assert await ending
            assert [answer[1].split()[0] for answer in await asyncio.gather(*slow)] == ["a", "a"]
            assert await platform.retire("model", old.revision) is True  # there is nothing left to do
            await load.more(30)
        assert load.failed == []
        assert load.sent >= 400
        assert before[1].total >= 0.2 * 250
        assert before[0].bad == before[1].bad == 0
        status = await site.insight.slo("model")
        assert status.total == load.sent + 4, "each is counted, and once"
        assert (status.revision, status.good) == (new.revision, status.total)
        assert (await site.call(old.key))[0] == 404
        assert list(platform.running) == [new.key]
        assert platform.controller.members(old.key) == []
        assert not any(b"fork_server" in command for command in site.processes()[1:]), site.processes()


@live
async def test_nothing_is_left_of_a_retired_revision(tmp_path):
    """Its service and its meter are freed, its fork server has ended, the platform knows it no more; its rows are kept."""
    async with Site(tmp_path) as site:
        platform, old = site.platform, await site.deploy("a")
        for _ in range(5):
            assert (await site.call())[0] == 200
        new = await site.launch("b")
        assert await platform.warm("model", new.revision) == ""
        replace(site, old, new)
        await platform.retire("model", old.revision)
        for _ in range(3):
            assert (await site.call())[0] == 200
        gone, meter, revision = weakref.ref(old), weakref.ref(old.dispatcher), old.revision
        assert [each.meter.revision for each in platform.overview(site.watch.alerts).snapshots()] == [new.revision]
        await until(lambda: sum(b"fork_server" in each for each in site.processes()) == 1, "the fork server's end")
        del old
        gc.collect()
        assert gone() is None
        assert meter() is None
        status = await site.insight.slo("model")
        assert (status.total, status.good) == (8, 8)
        rows = platform.lineages["model"].open_rows(monotonic_now())
        assert {row.revision.partition("~")[0] for row in rows} == {revision, new.revision}
        with pytest.raises(UnknownFunctionError, match="running: " + new.revision):
            platform.make_live("model", revision)


@live
async def test_a_revision_that_cannot_start_says_why_and_goes_without_a_trace(tmp_path):
    """The cause and the last lines its replica wrote; the live one is not concerned."""
    async with Site(tmp_path) as site:
        platform, old = site.platform, await site.deploy("a")
        async with Load(site, clients=2) as load:
            broken = await site.launch("b", at_load="print('looking'); raise ValueError('no weights')")
            said = await platform.warm("model", broken.revision)
            assert "no weights" in said
            assert "looking" in said
            site.routes.remove("model", broken.revision)
            assert await platform.retire("model", broken.revision)
            await load.more(20)
        assert (load.failed, list(platform.running)) == ([], [old.key])
        with pytest.raises(DeploymentError, match="is the live one"):
            await platform.retire("model", old.revision)
        with pytest.raises(ConfigurationError, match="cpus=99"):
            await site.launch("c", "cpus=99")
        assert list(platform.running) == [old.key]


@live
async def test_a_body_that_comes_after_its_revision_has_gone_is_served_by_the_next(tmp_path):
    """Its headers were announced to the old one, which keeps nothing of it."""
    async with Site(tmp_path) as site:
        old = await site.deploy("a")
        new = await site.launch("b")
        assert await site.platform.warm("model", new.revision) == ""
        slow = await Client.connect(site)
        slow.send(slow.head("model", 3))
        await until(lambda: len(site.gateway._context.known_heads.by_bytes) or old.dispatcher, "its head")
        await site.call()
        replace(site, old, new)
        await site.platform.retire("model", old.revision)
        slow.send(b"0.0")
        status, answer = await slow.answer()
        slow.close()
        assert (status, answer.split()[0]) == (200, "b")


@live
async def test_a_rollback_takes_back_a_revision_that_was_about_to_go(tmp_path):
    """As long as it still finishes its last requests it simply stays, warm; after that it begins anew, at once."""
    async with Site(tmp_path) as site:
        platform, old = site.platform, await site.deploy("a")
        new = await site.launch("b")
        assert await platform.warm("model", new.revision) == ""
        async with Load(site, clients=4) as load:
            slow = asyncio.create_task(site.call(old.key, 0.5))
            await here(old, 0.5)
            replace(site, old, new)
            ending = asyncio.create_task(platform.retire("model", old.revision))
            await until(lambda: old.is_retiring, "its end to begin")
            assert platform.launch(old.manifest) is old
            site.routes.pin(old)
            assert await platform.warm("model", old.revision) == ""
            replace(site, new, old)
            await load.more(10)
            assert await ending
            assert (await slow)[0] == 200
            ending = asyncio.create_task(platform.retire("model", new.revision))
            await until(lambda: new.is_closed, "it to take nothing more")
            again = platform.launch(new.manifest)  # while the replicas of before still end
            assert again is not new
            assert await platform.warm("model", again.revision) == ""
            assert await ending
            site.routes.pin(again)
            replace(site, old, again)
            assert await platform.retire("model", old.revision)
            await load.more(20)
        assert load.failed == []
        assert list(platform.running) == [again.key]
        assert platform.running[again.key] is again
        status = await site.insight.slo("model")
        assert status.total == load.sent + 1


@pytest.mark.parametrize(("cpus", "has_room"), [(2.0, True), (1.0, False)])
def test_a_full_pool_holds_up_no_rollout(tmp_path, cpus, has_room):
    """With room for one of each the live one gives a replica; without, requests wait for the candidate's start."""

    @live
    async def story(tmp_path):
        floor = "cpus=1, min_replicas=2" if has_room else "cpus=1, min_replicas=1"
        async with Site(tmp_path, cpus) as site:
            platform, old = site.platform, await site.deploy("a", floor)
            async with Load(site, clients=4) as load:
                await load.more(10)
                new = await site.launch("b", floor)
                assert platform.has_room("model", new.revision) is has_room
                if has_room:
                    assert await platform.warm("model", new.revision) == ""
                replace(site, old, new)
                assert await platform.retire("model", old.revision)
                await load.more(50)
            assert load.failed == []
            assert platform.controller.limits(new.key)[0] == cpus

    story(tmp_path)


@live
async def test_a_removed_function_finishes_what_it_has_and_comes_back_with_its_history(tmp_path):
    """Its name is unknown at once; what was counted of it is there again when it is deployed again."""
    async with Site(tmp_path) as site:
        platform, old = site.platform, await site.deploy("a")
        for _ in range(4):
            await site.call()
        slow = asyncio.create_task(site.call("model", 0.3))
        await here(old, 0.3)
        site.routes.remove("model")
        assert await platform.remove("model")
        assert (await slow)[0] == 200
        assert (await site.call())[0] == 404
        assert platform.services == platform.running == {}
        assert await site.insight.slo("model") is None
        site.watch.keeper.save(monotonic_now())
        await site.watch.keeper.saving
        assert platform.lineages == {}
        new = await site.launch("b")
        assert await platform.warm("model", new.revision) == ""
        platform.make_live("model", new.revision)
        site.routes.direct(new)
        await site.call()
        await until(lambda: platform.lineages["model"].is_known, "the history")
        assert (await site.insight.slo("model")).total == 6


def monotonic_now():
    """The loop's clock is the platform's."""
    return asyncio.get_running_loop().time()
