"""What root may do beyond reading and writing files: a replica of a server that runs as root does without it.

With these powers a process could raise its own limits again, look into any other process past Landlock, or mount over
what is hidden from it.

Source:
    man 7 capabilities; include/uapi/linux/capability.h. `CAP_SYS_ADMIN` and `CAP_PERFMON` open the memory and the
    environment of others to a look (mm_access) without asking Landlock.
"""

from __future__ import annotations

import ctypes
import os
import struct

_PR_CAPBSET_DROP = 24
_VERSION_3 = 0x20080522
_GIVEN_UP = {
    "LINUX_IMMUTABLE": 9,
    "NET_ADMIN": 12,
    "SYS_MODULE": 16,
    "SYS_RAWIO": 17,
    "SYS_CHROOT": 18,
    "SYS_PTRACE": 19,
    "SYS_PACCT": 20,
    "SYS_ADMIN": 21,
    "SYS_BOOT": 22,
    "SYS_RESOURCE": 24,
    "SYS_TIME": 25,
    "SYS_TTY_CONFIG": 26,
    "MKNOD": 27,
    "AUDIT_CONTROL": 30,
    "SETFCAP": 31,
    "MAC_OVERRIDE": 32,
    "MAC_ADMIN": 33,
    "SYSLOG": 34,
    "WAKE_ALARM": 35,
    "BLOCK_SUSPEND": 36,
    "PERFMON": 38,
    "BPF": 39,
    "CHECKPOINT_RESTORE": 40,
}


def give_up_powers() -> None:
    """Drop them from all sets, for good; a process that has none keeps what it has.

    Raises:
        OSError: The kernel refused.
    """
    library = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", _VERSION_3, 0)
    held = ctypes.create_string_buffer(24)
    _checked(library.capget(header, held))
    sets = list(
        struct.unpack("=6I", held.raw)
    )  # effective, permitted, inheritable: first the lower, then the upper halves
    if not sets[1] and not sets[4]:
        return
    for number in _GIVEN_UP.values():
        library.prctl(
            _PR_CAPBSET_DROP, number, 0, 0, 0
        )  # refused without CAP_SETPCAP, and for what this kernel has not
    keep = ~sum(1 << number for number in _GIVEN_UP.values())
    for half, bits in ((0, keep & 0xFFFFFFFF), (3, keep >> 32 & 0xFFFFFFFF)):
        for position in range(half, half + 3):
            sets[position] &= bits
    _checked(library.capset(header, struct.pack("=6I", *sets)))


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capabilities: {os.strerror(number)}")
