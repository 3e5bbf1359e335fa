"""The standard streams of a process to come: what it will read, and where we shall read what it prints."""

from __future__ import annotations

import os


class Streams:
    """Opens them all. Hand `theirs` over, then `close_theirs`; `output_fd` and `error_fd` stay, for whoever reads them.

    Args:
        standard_input: Bytes to be found on the standard input.

    Raises:
        OSError: No descriptors or no memory are left; nothing stays open.
    """

    def __init__(self, standard_input: bytes) -> None:
        opened: list[int] = []
        try:
            # A file in memory instead of a pipe: writing never waits for a reader, however much it is.
            opened.append(os.memfd_create("sojourn-stdin", os.MFD_CLOEXEC))
            with os.fdopen(opened[0], "wb", closefd=False) as file:
                file.write(standard_input)
            os.lseek(opened[0], 0, os.SEEK_SET)
            opened += os.pipe2(os.O_CLOEXEC)
            opened += os.pipe2(os.O_CLOEXEC)
        except OSError:
            for fd in opened:
                os.close(fd)
            raise
        input_fd, self.output_fd, output_end, self.error_fd, error_end = opened
        self.theirs = (input_fd, output_end, error_end)  # standard input, output, error

    def close_theirs(self) -> None:
        """The other process has them, or never will."""
        for fd in self.theirs:
            os.close(fd)

    def close_ours(self) -> None:
        """There will be no process to read from."""
        os.close(self.output_fd)
        os.close(self.error_fd)
