"""The same no-op function on Mosec, for comparison; run by `overhead.py --mosec PYTHON`.

Needs an environment of its own with `mosec` in it: it is no dependency of this project. Its address and port
come from the variables MOSEC_ADDRESS and MOSEC_PORT.
"""

from __future__ import annotations

from typing import Any

from mosec import Server, Worker


class Noop(Worker):
    """Gives its items back."""

    def forward(self, data: list[Any]) -> list[Any]:
        """The items, unchanged."""
        return data


if __name__ == "__main__":
    server = Server()
    server.append_worker(Noop, num=1, max_batch_size=64)
    server.run()
