"""What a replica is told before it can dial in, and what a fork server and its launcher tell each other."""

from __future__ import annotations

import msgspec

from sojourn.domain.function import FunctionManifest
from sojourn.wire.frame import MAX_FRAME_BYTES


def accelerators_seen(gpus: tuple[int, ...]) -> dict[str, str]:
    """The variables by which a replica sees these accelerators (by number) and no others."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """What a process takes upon itself, for good, before it runs an author's code; 0 and empty: not that.

    Args:
        data_bytes: Most memory it may ask for that is its own and can be written (`RLIMIT_DATA`), in bytes.
        open_files: Most descriptors (`RLIMIT_NOFILE`).
        processes: Most processes and threads of its user at once (`RLIMIT_NPROC`); void for root.
        file_bytes: Longest file it may write (`RLIMIT_FSIZE`), in bytes.
        scratch: A private directory that exists; its files for a while go there.
        has_home: Whether its home and working directory are there, too.
        tree: Directory of its code, which it may read wherever that lies; seen through links in its working directory.
        uses_landlock: Whether it is to do without signals to, and a look at the memory of, processes not its own.
        hidden: Directories it does without, except for `tree` and `shared`.
        shared: Directory of the scratch directories of its own revision.
    """

    data_bytes: int = 0
    open_files: int = 0
    processes: int = 0
    file_bytes: int = 0
    scratch: str = ""
    has_home: bool = False
    tree: str = ""
    uses_landlock: bool = False
    hidden: tuple[str, ...] = ()
    shared: str = ""


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
        confinement: Set by a local launcher: the limits of the process.
    """

    replica_id: int
    socket_path: str
    token: str
    manifest: FunctionManifest
    environment: dict[str, str] = {}
    launcher_pid: int = 0
    max_frame_bytes: int = MAX_FRAME_BYTES
    confinement: Confinement = Confinement()


class ForkServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All a new fork server is told, on its standard input.

    Args:
        manifest: The function whose code it imports; with `share="fork"` it loads the model too.
        launcher_pid: The process that it does not outlive, and whose children its replicas become.
        control_fd: Its end of a socket pair (`SOCK_SEQPACKET`): `Prepared` goes out, each `ForkRequest` comes in.
        confinement: Its limits, which its replicas inherit.
    """

    manifest: FunctionManifest
    launcher_pid: int
    control_fd: int
    confinement: Confinement = Confinement()


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """The fork server has imported the code, and loaded the model if that is to be shared.

    Args:
        import_s: Time of the import, in seconds.
        load_s: Time to load a shared model, in seconds.
        warmup_s: Time to warm it up, in seconds.
        failure: Why there is nothing to serve; its replicas will say so themselves. Empty if all is well.
        why_not: Why it cannot be forked, in words; empty if it can.
    """

    import_s: float
    load_s: float
    warmup_s: float
    failure: str = ""
    why_not: str = ""


class ForkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Fork one replica. Four descriptors come with it: a socket for `Birth`, then its standard streams.

    Args:
        asked_at_s: When the replica was asked for, in monotonic seconds: what the fork server did before costs it nothing.
    """

    asked_at_s: float


class Birth(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a `ForkRequest`; a replica that was born waits for one byte before it goes on.

    Args:
        pid: Its process id; 0 if there is none.
        why_not: Why it was not forked, in words.
    """

    pid: int = 0
    why_not: str = ""
