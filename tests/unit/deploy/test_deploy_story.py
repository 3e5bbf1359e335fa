"""Whatever is asked of a deploy service, all at once and in any order: what runs in the end is what is kept."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from deploy_desk import SLOWLY, DeployDesk

from sojourn.domain.deployment import CANARY, RolloutPlan
from sojourn.errors import SojournError

QUICKLY = RolloutPlan(strategy=CANARY, shares=(0.5,), step_s=0.02)
OPERATIONS = (
    "deploy", "deploy", "canary", "quick", "promote", "rollback", "delete", "call", "hold", "go", "full disk", "kill",
)  # fmt: skip


async def ask(desk: DeployDesk, rng: Random, operation: str) -> None:
    """One thing, of three revisions of one function; being refused is an answer, too."""
    text = f"v{rng.randrange(3)}"
    with contextlib.suppress(SojournError):
        if operation in {"deploy", "canary", "quick"}:
            await desk.begin(text, plan={"canary": SLOWLY, "quick": QUICKLY}.get(operation))
        elif operation == "promote":
            await desk.service.promote("f")
        elif operation == "rollback":
            await desk.service.rollback("f")
        elif operation == "delete":
            await desk.service.delete("f")
        elif operation == "call":
            await desk.call()
        elif operation == "hold":
            desk.launcher.held_back = True
        elif operation == "go":
            desk.launcher.let_go()
        elif operation == "kill" and desk.replicas:
            rng.choice(list(desk.replicas.values())).end("killed")
        elif operation == "full disk":
            desk.store._connection.execute("PRAGMA query_only = ON")
            await asyncio.sleep(0.005)
            desk.store._connection.execute("PRAGMA query_only = OFF")


async def settle(desk: DeployDesk) -> None:
    """Let all that is under way come to its end."""
    desk.launcher.let_go()
    held = desk.service._held.get("f")
    if held is not None and held.run is not None:
        with contextlib.suppress(SojournError):  # it has ended meanwhile
            await desk.service.promote("f")
        await desk.end_of()
    await desk.until(lambda: not desk.service._departures._tasks)


async def check(desk: DeployDesk) -> None:
    """The state file, the platform and the routes say the same, and the function answers if there is one."""
    live = next((stored.live for stored in desk.store.functions()), None)
    assert set(desk.service._held) == {stored.name for stored in desk.store.functions()}
    assert list(desk.platform.running) == ([f"f@{live}"] if live else [])
    assert set(desk.routes.by_path) == ({b"/functions/f", f"/functions/f@{live}".encode()} if live else set())
    assert await desk.call() == ("answered" if live else "unknown")
    assert not [desk.told(event) for event in ("rollout.broke_off", "revision.not_retired") if desk.told(event)]


@pytest.mark.parametrize("seed", range(4))
def test_what_runs_in_the_end_is_what_is_kept(seed, tmp_path):
    """Fourteen things at once and in any order; then one more server's life over the same state."""
    unseen = []

    async def tell() -> None:
        rng = Random(seed)
        asyncio.get_running_loop().set_exception_handler(lambda _, told: unseen.append(told))
        async with DeployDesk(tmp_path / "state") as desk:
            asking = []
            for _ in range(14):
                asking.append(asyncio.create_task(ask(desk, rng, rng.choice(OPERATIONS))))
                await asyncio.sleep(rng.choice([0.0, 0.0, 0.001, 0.01, 0.03]))
            desk.launcher.let_go()
            await asyncio.gather(*asking)
            await settle(desk)
            await check(desk)
        async with DeployDesk(tmp_path / "state") as desk:
            await settle(desk)
            await check(desk)

    asyncio.run(tell())
    assert unseen == []
