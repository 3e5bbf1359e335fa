"""Keys in a file of their own: the digests, never the secrets; written as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import structs

from sojourn.domain.access import KeyRecord
from sojourn.errors import StateError

FILE_NAME: Final = "keys.json"


class KeyFile:
    """The store of a state directory's keys, for whoever holds that directory.

    Args:
        state_dir: The directory.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME

    def keys(self) -> list[KeyRecord]:
        """All there ever were.

        Raises:
            StateError: The file is there and cannot be read: nobody may take that for an open server.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[KeyRecord])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as err:
            raise StateError(f"the keys in {self._path} cannot be read ({err}); restore the file from a copy") from err

    def put_key(self, record: KeyRecord) -> None:
        """Keep a new one; it is on the disk when this returns."""
        self._write([*self.keys(), record])

    def revoke_key(self, key_id: str, wall_s: float) -> None:
        """Note the end of one; it is on the disk when this returns."""
        self._write(
            [structs.replace(one, revoked_at_s=wall_s) if one.id == key_id else one for one in self.keys()],
        )

    def _write(self, records: list[KeyRecord]) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.json.encode(records))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as err:
            raise StateError(f"keys cannot be kept in {self._path} ({err.strerror}); look at the disk") from err
