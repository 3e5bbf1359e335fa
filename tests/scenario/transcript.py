"""Plays a transcript: commands at the margin, what the core ordered indented below each.

```
function latency=0.1 max_batch=8          options of the function; must come first
0.000 lease 1                             a replica is leased
0.010 arrive x3 timeout=0.5 priority=0    three requests
0.020 complete 1 faults=2:item_invalid    batch 1 is answered, its third item is invalid
0.030 gone 3 | revoke 1 | lose 1 | suspend | resume | drain | tick
```
Between commands the dispatcher is woken whenever it asks for it; what it does then stands below a
line `(woken)`.
"""

from __future__ import annotations

from sojourn.core.admission import QueueBounds
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import CancelBatch, DispatchBatch, Finish, ReturnLease, SuspectReplica
from sojourn.domain.event import (
    BatchCompleted,
    ClientGone,
    DrainBegan,
    ReplicaLeased,
    ReplicaLost,
    ReplicaRevoked,
    RequestArrived,
    StartsResumed,
    StartsSuspended,
    Tick,
)
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import BATCHING_BY_NAME
from sojourn.domain.request import Fault
from sojourn.policy.batching.catalogue import batching_policy


def play(commands: list[str]) -> list[str]:
    """The transcript of these commands: each, followed by what the core ordered."""
    return _Player().play(commands)


class _Player:
    def __init__(self) -> None:
        self._lines: list[str] = []
        self._replica_of: dict[int, int] = {}
        self._requests = 0
        self._dispatcher: Dispatcher | None = None

    def play(self, commands: list[str]) -> list[str]:
        for command in commands:
            words = command.split()
            options = dict(word.split("=", 1) for word in words if "=" in word)
            arguments = [word for word in words if "=" not in word]
            if arguments[0] == "function":
                self._dispatcher = _dispatcher(options)
                self._lines.append(command)
                continue
            now_s = float(arguments[0])
            self._wake_until(now_s)
            self._lines.append(command)
            for event in self._events(arguments[1], arguments[2:], options):
                self._step(event, now_s)
        return self._lines

    def _wake_until(self, now_s: float) -> None:
        for _ in range(1000):
            wake_at_s = self._dispatcher.next_wake_at_s
            if wake_at_s is None or wake_at_s >= now_s:
                return
            before = len(self._lines)
            self._lines.append(f"{wake_at_s:.3f} (woken)")
            if not self._step(Tick(), wake_at_s):
                del self._lines[before:]
        raise AssertionError("the dispatcher never stops asking to be woken")

    def _events(self, what: str, arguments: list[str], options: dict[str, str]):
        if what == "arrive":
            count = int(arguments[0][1:]) if arguments else 1
            for _ in range(count):
                self._requests += 1
                timeout_s = float(options["timeout"]) if "timeout" in options else None
                yield RequestArrived(self._requests, 10, int(options.get("priority", 1)), timeout_s)
        elif what == "complete":
            batch_id = int(arguments[0])
            pairs = [pair.split(":") for pair in options.get("faults", "").split(",") if pair]
            faults = tuple((int(position), Fault(code)) for position, code in pairs)
            yield BatchCompleted(self._replica_of.get(batch_id, 0), batch_id, faults)
        else:
            number = [int(argument) for argument in arguments]
            kinds = {
                "gone": ClientGone,
                "lease": ReplicaLeased,
                "revoke": ReplicaRevoked,
                "lose": ReplicaLost,
                "suspend": StartsSuspended,
                "resume": StartsResumed,
                "drain": DrainBegan,
                "tick": Tick,
            }
            yield kinds[what](*number)

    def _step(self, event, now_s: float) -> bool:
        actions = self._dispatcher.step(event, now_s)
        self._dispatcher.check(now_s)
        for action in actions:
            self._lines.append("    " + self._shown(action))
        return bool(actions)

    def _shown(self, action) -> str:
        if isinstance(action, DispatchBatch):
            self._replica_of[action.batch_id] = action.replica_id
            members = " ".join(str(i) for i in action.request_ids)
            return f"dispatch batch {action.batch_id} to replica {action.replica_id}: {members}"
        if isinstance(action, Finish):
            fault = f" {action.fault}" if action.fault else ""
            again = f" retry_after={action.retry_after_s:g}" if action.retry_after_s else ""
            return f"finish {action.request_id}: {action.outcome}{fault} latency={action.latency_s:.3f}{again}"
        if isinstance(action, CancelBatch):
            return f"cancel batch {action.batch_id} on replica {action.replica_id}"
        if isinstance(action, SuspectReplica):
            return f"suspect replica {action.replica_id}: {action.cause}"
        assert isinstance(action, ReturnLease)
        return f"return replica {action.replica_id}"


def _dispatcher(options: dict[str, str]) -> Dispatcher:
    latency = options.get("latency")
    function = FunctionSettings(
        name="f",
        slo=SLO(float(latency)) if latency else None,
        max_batch_size=int(options.get("max_batch", "8")),
        timeout_s=float(options["timeout"]) if "timeout" in options else None,
        start_timeout_s=float(options.get("start_timeout", "60")),
        retry=options.get("retry", "yes") == "yes",
    )
    policy = batching_policy(BATCHING_BY_NAME[options.get("batching", "slo")])
    return Dispatcher(function, policy, QueueBounds(requests=int(options.get("queue", "1000"))))
