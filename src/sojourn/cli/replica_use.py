"""What serving took of a running server's replicas, asked at its admin port before and after a run."""

from __future__ import annotations

from typing import Self
from urllib.parse import quote

import msgspec

from sojourn.cli.http_call import ADMIN_TIMEOUT_S, admin_json, call
from sojourn.errors import ClientError


class ReplicaUse(msgspec.Struct, frozen=True, kw_only=True):
    """Replicas of one function; the field names are the JSON keys shared by all commands that know them.

    Args:
        replica_seconds: Replica time used, from start decision to exit, in seconds.
        replicas_max: Most replicas seen at once (it is looked at before and after a run, not in between).
        cold_starts: Replicas that were started and became ready.
    """

    replica_seconds: float
    replicas_max: int
    cold_starts: int

    def since(self, before: Self) -> ReplicaUse:
        """What came on top of an earlier look."""
        return ReplicaUse(
            replica_seconds=self.replica_seconds - before.replica_seconds,
            replicas_max=max(self.replicas_max, before.replicas_max),
            cold_starts=self.cold_starts - before.cold_starts,
        )


def replica_use(admin_url: str, function: str) -> ReplicaUse:
    """Replica use of a function since its server started.

    Raises:
        ClientError: The admin port does not answer, or knows no such function.
    """
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 (takes 40 ms to import)

    detail = admin_json(admin_url, f"/api/v1/functions/{quote(function, safe='')}")
    page = call("GET", admin_url, "/metrics", timeout_s=ADMIN_TIMEOUT_S)
    if not page.is_good:
        raise ClientError(page.message)
    totals = {"sojourn_replica_seconds_total": 0.0, "sojourn_cold_starts_total": 0.0}
    for family in text_string_to_metric_families(page.body.decode("utf-8", "replace")):
        for sample in family.samples:
            if sample.name in totals and sample.labels.get("function") == function:
                totals[sample.name] += sample.value
    return ReplicaUse(
        replica_seconds=totals["sojourn_replica_seconds_total"],
        replicas_max=sum(detail["replicas"].values()),
        cold_starts=int(totals["sojourn_cold_starts_total"]),
    )
