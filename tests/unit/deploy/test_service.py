"""The deploy service over a real platform, state file and store of bundles: what is told has happened, or nothing has."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from deploy_desk import SLOWLY, DeployDesk, canary, on_a_desk

from sojourn.deploy import rollouts
from sojourn.errors import ConfigurationError, DeploymentError, StateError, UnknownFunctionError
from sojourn.runtime.alert_book import AlertBook


def is_as_it_was(desk: DeployDesk, old: str, new: str) -> bool:
    """Whether the canary goes on, here and in the state file."""
    told = desk.service.rollout("f")
    (stored,) = desk.store.functions()
    return (told.state, told.revision, stored.live, stored.candidate) == ("shifting", new, old, new)


class Unwritable:
    """A state file that refuses each change, as on a full disk: `with Unwritable(desk)`."""

    def __init__(self, desk: DeployDesk) -> None:
        self._connection = desk.store._connection

    def __enter__(self) -> None:
        self._connection.execute("PRAGMA query_only = ON")

    def __exit__(self, *exc_info: object) -> None:
        self._connection.execute("PRAGMA query_only = OFF")


# ---- what cannot be kept


@on_a_desk
async def test_a_deploy_that_cannot_be_kept_leaves_the_canary_before_it_running(desk):
    """The later deploy is refused; the canary has not been ended for it."""
    old, new = await canary(desk)
    with Unwritable(desk), pytest.raises(StateError):
        await desk.begin("three")
    assert is_as_it_was(desk, old, new)
    assert (await desk.begin("three"))[0].created
    assert (await desk.end_of()).state == "live"
    assert [row.outcome for row in await desk.service.revisions("f")] == ["live", "superseded", "live"]


@on_a_desk
async def test_a_promotion_that_cannot_be_kept_is_an_error_and_the_canary_goes_on(desk):
    """Neither the routes nor the state file have changed; once it can be kept, it takes all traffic."""
    old, new = await canary(desk)
    with Unwritable(desk), pytest.raises(StateError):
        await desk.service.promote("f")
    assert is_as_it_was(desk, old, new)
    told = await desk.service.promote("f")
    assert (told.state, told.revision, told.share) == ("live", new, 1.0)
    assert desk.store.functions()[0].live == new


@on_a_desk
async def test_a_rollback_that_cannot_be_kept_is_an_error_and_the_canary_goes_on(desk):
    """As a promotion."""
    old, new = await canary(desk)
    with Unwritable(desk), pytest.raises(StateError):
        await desk.service.rollback("f")
    assert is_as_it_was(desk, old, new)
    told = await desk.service.rollback("f")
    assert (told.state, told.cause) == ("rolled_back", "an operator rolled it back")
    assert (desk.store.functions()[0].live, desk.store.functions()[0].candidate) == (old, None)
    assert await desk.call() == "answered"


@on_a_desk
async def test_a_deletion_that_cannot_be_kept_changes_nothing(desk):
    """The function and its canary are there as before; the next deletion takes all of it away."""
    old, new = await canary(desk)
    with Unwritable(desk), pytest.raises(StateError):
        await desk.service.delete("f")
    assert is_as_it_was(desk, old, new)
    await desk.service.delete("f")
    assert [await desk.call(path) for path in ("f", f"f@{old}", f"f@{new}")] == ["unknown"] * 3
    assert (desk.platform.running, desk.replicas, desk.store.functions()) == ({}, {}, [])
    with pytest.raises(UnknownFunctionError):
        desk.service.rollout("f")


@on_a_desk
async def test_limits_that_cannot_be_kept_or_cannot_be_change_nothing(desk):
    """Neither now nor for the next revision, nor in the state file; a ceiling leaves the declared floor as it is."""
    await desk.deploy("one")
    desk.service.scale("f", max_replicas=3)
    desk.service.scale("f", min_replicas=1)  # leaves the ceiling as it is
    with Unwritable(desk), pytest.raises(StateError):
        desk.service.scale("f", 2, 5)
    with pytest.raises(ConfigurationError):
        desk.service.scale("f", 100)
    kept = desk.store.limits()["f"]
    assert (kept.min_replicas, kept.max_replicas) == (1, 3)
    for text in ("one", "two"):
        await desk.deploy(text)
        await desk.until(lambda: len(desk.platform.running) == 1)
        assert desk.platform.controller.limits(desk.platform.services["f"].key) == (1, 3)


@on_a_desk
async def test_a_promotion_during_the_warm_up_is_kept_and_outlives_the_server(desk):
    """The canary becomes all-at-once on the disk, too, and takes all traffic as soon as it is warm."""
    await desk.deploy("one")
    desk.launcher.held_back = True
    (new,) = await desk.begin("two", plan=SLOWLY)
    promoting = asyncio.create_task(desk.service.promote("f"))
    await desk.until(lambda: desk.store.functions()[0].plan.strategy == "all-at-once")
    desk.launcher.let_go()
    assert ((await promoting).state, (await promoting).revision) == ("live", new.revision)


@on_a_desk
async def test_what_is_decided_is_never_dropped_however_often(desk):
    """Forty promotions of a revision that does not start, and the rollback after them is obeyed."""
    old = await desk.deploy("one")
    desk.launcher.held_back = True
    await desk.begin("two", plan=SLOWLY)
    asking = [asyncio.create_task(desk.service.promote("f")) for _ in range(40)]
    await asyncio.sleep(0)
    assert (await desk.service.rollback("f")).state == "failed"
    assert {told.state for told in await asyncio.gather(*asking)} == {"failed"}
    assert desk.platform.services["f"].revision == old


# ---- rollouts that do not do as they are told


@on_a_desk
async def test_a_rollout_that_does_not_come_to_rest_is_left_alone(desk):
    """One in the middle of a step: neither a deploy nor a deletion has begun when they are refused."""
    old, new = await canary(desk)
    turn = desk.service._held["f"].run._turn
    await turn.acquire()
    rollouts.END_WITHIN_S = 0.02
    try:
        with pytest.raises(DeploymentError, match="nothing was changed"):
            await desk.service.delete("f")
        with pytest.raises(DeploymentError, match="nothing was changed"):
            await desk.begin("three")
    finally:
        rollouts.END_WITHIN_S = 10.0
        turn.release()
    assert is_as_it_was(desk, old, new)


@on_a_desk
async def test_a_function_is_deleted_whole_though_its_rollout_does_not_end(desk):
    """The rollout is broken off; no route, no replica and no row is left of both revisions."""
    await canary(desk)
    run = desk.service._held["f"].run

    async def for_ever(*args: object) -> None:
        await asyncio.Event().wait()

    run._on_reject = for_ever
    rollouts.END_WITHIN_S = 0.02
    try:
        await desk.service.delete("f")
    finally:
        rollouts.END_WITHIN_S = 10.0
    await desk.until(lambda: not desk.platform.running)
    assert (desk.routes.by_path, desk.replicas, desk.store.functions()) == ({}, {}, [])


# ---- errors that nobody thought of


@pytest.mark.parametrize("place", ["warm", "make_live", "direct"])
def test_an_error_of_our_own_ends_the_rollout_as_failed_and_the_old_revision_serves(place, tmp_path, monkeypatch):
    """Wherever it strikes, it is told with its cause, logged with its traceback, and nothing is kept of the new one."""

    async def tell() -> None:
        async with DeployDesk(tmp_path / "state") as desk:
            old = await desk.deploy("one")
            whole = desk.routes if place == "direct" else desk.platform
            method = getattr(whole, place)

            def broken(*args: object) -> object:
                monkeypatch.setattr(whole, place, method)
                raise KeyError("nobody thought of this")

            monkeypatch.setattr(whole, place, broken)
            await desk.begin("two")
            told = await desk.end_of()
            assert (told.state, told.share) == ("failed", 0.0)
            assert "KeyError" in told.cause
            assert (desk.platform.services["f"].revision, await desk.call()) == (old, "answered")
            await desk.until(lambda: len(desk.platform.running) == 1)
            (stored,) = desk.store.functions()
            assert (stored.live, stored.candidate) == (old, None)
            assert [event.fields["cause"] for event in desk.told("rollout.broke_off")] == [told.cause]
            assert "nobody thought of this" in desk.log_path.read_text()
            assert "Traceback" in desk.log_path.read_text()
            await desk.begin("two")
            assert (await desk.end_of()).state == "live"

    asyncio.run(tell())


@on_a_desk
async def test_an_error_of_our_own_leaves_a_first_revision_serving_that_is_live_already(desk):
    """There is none before it: it serves, here and in the state file, and the error is told."""
    direct = desk.routes.direct

    def broken(service: object) -> None:
        desk.routes.direct = direct
        raise OSError("nobody thought of this")

    desk.routes.direct = broken
    (first,) = await desk.begin("one")
    told = await desk.end_of()
    assert (told.state, "OSError: nobody thought of this" in told.cause) == ("failed", True)
    (stored,) = desk.store.functions()
    assert (stored.live, stored.candidate, await desk.call()) == (first.revision, None, "answered")
    assert (await desk.begin("one"))[0].created is False
    assert await desk.deploy("two") == desk.store.functions()[0].live


# ---- two things at once


@on_a_desk
async def test_the_live_revision_deployed_during_a_canary_ends_that(desk):
    """It stays live, here and in the state file, and the candidate goes."""
    old, _ = await canary(desk)
    assert (await desk.begin("one"))[0].revision == old
    assert desk.service.rollout("f").state == "rolled_back"
    (stored,) = desk.store.functions()
    assert (stored.live, stored.candidate) == (old, None)
    await desk.until(lambda: list(desk.platform.running) == [f"f@{old}"])
    assert await desk.call() == "answered"


@on_a_desk
async def test_the_same_revision_deployed_during_its_own_rollout_changes_nothing(desk):
    """The canary goes on."""
    old, new = await canary(desk)
    (again,) = await desk.begin("two", plan=SLOWLY)
    assert (again.revision, again.created) == (new, False)
    assert is_as_it_was(desk, old, new)


@on_a_desk
async def test_the_same_source_is_the_same_revision_though_its_import_tells_something_else(desk):
    """As a default that is the present time does, or another version of the server: what was told first is what runs."""
    desk.examples = ["1"]
    old = await desk.deploy("one")
    desk.examples = ["2"]
    (again,) = await desk.begin("one")
    assert (again.revision, again.created) == (old, False)
    await desk.deploy("two")
    assert await desk.deploy("one") == old
    assert desk.platform.services["f"].manifest.examples == ["1"]


@on_a_desk
async def test_many_deploys_at_once_end_with_the_last_one_live(desk):
    """Each is kept, each but the last is superseded or replaced, and nothing of them runs on."""
    await desk.deploy("zero")
    deployed = await asyncio.gather(*(desk.begin(f"v{number}") for number in range(5)))
    told = await desk.end_of()
    assert told.state == "live"
    assert told.revision in {one.revision for (one,) in deployed}
    assert desk.store.functions()[0].live == told.revision
    await desk.until(lambda: list(desk.platform.running) == [f"f@{told.revision}"])
    assert (await desk.call(), len(desk.replicas)) == ("answered", 1)


@on_a_desk
async def test_back_and_forth_at_once_ends_with_what_was_wanted_last(desk):
    """A revision that is about to go, and is deployed again at that moment, stays."""
    for number in range(6):
        wanted = await desk.deploy("one" if number % 2 else "two")
        assert (desk.platform.services["f"].revision, await desk.call()) == (wanted, "answered")
    await desk.until(lambda: len(desk.platform.running) == 1)


@on_a_desk
async def test_a_deletion_at_once_with_a_deploy_leaves_one_of_both(desk):
    """Whichever is later: the function is there whole, or not at all."""
    for number in range(2):
        await desk.deploy("one")
        await asyncio.gather(desk.service.delete("f"), desk.begin(f"v{number}"))
        if desk.store.functions():
            assert (await desk.end_of()).state == "live"
            assert await desk.call() == "answered"
            await desk.service.delete("f")
        assert (await desk.call(), desk.platform.running, desk.platform.lineages) == ("unknown", {}, {})


# ---- what is told


@on_a_desk
async def test_replicas_of_a_candidate_count_among_those_of_its_function(desk):
    """Two revisions, one replica each: the function has two, each names its revision, and so do the decisions."""
    old, new = await canary(desk)
    overview = desk.platform.overview(AlertBook(desk.events, 0.0))
    (row,) = overview.functions()
    detail, other = overview.function("f"), overview.function(f"f@{new}")
    assert (row.revision, row.replicas["ready"], detail.replicas["ready"], other.replicas["ready"]) == (old, 2, 2, 1)
    assert [one.revision for one in detail.replica_details] == [old, new]
    assert [one.revision for one in other.replica_details] == [new]
    assert [one.replicas["ready"] for one in overview.revisions("f")] == [1, 1]
    assert [event.fields["revision"] for event in desk.told("function.scaled")] == [old, new]


# ---- bounds


@on_a_desk
async def test_nothing_is_kept_of_revisions_that_have_gone(desk):
    """After some more deploys there is as much as after one, but for what the state file keeps."""

    def counted() -> tuple[int, ...]:
        lineage = desk.platform.lineages["f"]
        return (
            len(desk.platform.running),
            len(lineage.running),
            len(lineage._keys),
            len(desk.platform.controller._deployments),
            len(desk.platform._driver.scaling._by_key),
            len(desk.service._departures._going) + len(desk.service._departures._tasks),
            len(desk.routes.by_path),
        )

    await desk.deploy("first")
    desk.platform.lineages["f"].is_known = True
    await desk.deploy("second")
    await desk.until(lambda: not desk.service._departures._tasks)
    before = counted()
    for number in range(6):
        await desk.deploy(f"v{number}")
        await desk.call()
    await desk.until(lambda: not desk.service._departures._tasks)
    assert counted() == before


def test_unwritable_is_what_a_full_disk_is(tmp_path):
    """The stand-in makes SQLite itself refuse."""

    async def tell() -> None:
        async with DeployDesk(tmp_path / "state") as desk:
            with Unwritable(desk), pytest.raises(sqlite3.OperationalError):
                desk.store._connection.execute("DELETE FROM functions")

    asyncio.run(tell())


@on_a_desk
async def test_history_says_where_a_rollback_goes(desk):
    """Of three revisions the second is the one before; after the rollback, which is one more step, the third is."""
    one, two, three = [await desk.deploy(text) for text in ("one", "two", "three")]

    async def roles() -> dict[str, str]:
        return {row.revision: row.role for row in await desk.service.revisions("f")}

    assert await roles() == {one: "", two: "previous", three: "live"}
    await desk.service.rollback("f")
    await desk.until(lambda: desk.service.rollout("f").state == "live")
    assert await roles() == {one: "", two: "live", three: "previous"}
