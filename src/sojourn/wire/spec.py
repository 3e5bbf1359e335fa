"""What a replica is told before it can dial in."""

from __future__ import annotations

import msgspec

from sojourn.domain.function import FunctionManifest
from sojourn.wire.frame import MAX_FRAME_BYTES


class ReplicaSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All a new replica is told, on its standard input: what to load and where to dial in.

    Args:
        replica_id: How the server calls it.
        socket_path: Unix socket of the server's replica listener.
        token: One-time secret for the handshake.
        manifest: The function to load.
        environment: Variables set for the process besides the launcher's allow-list.
        launcher_pid: Set by a local launcher: the replica does not outlive this process. 0: unknown.
        max_frame_bytes: Longest frame either side accepts, in bytes.
    """

    replica_id: int
    socket_path: str
    token: str
    manifest: FunctionManifest
    environment: dict[str, str] = {}
    launcher_pid: int = 0
    max_frame_bytes: int = MAX_FRAME_BYTES
