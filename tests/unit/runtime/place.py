"""A platform of one function with a real history, a watch over its objective and a clock set by hand."""

from __future__ import annotations

import os

from desk import Desk

from sojourn.domain.objective import SLO
from sojourn.domain.request import Outcome
from sojourn.runtime.insight import Insight
from sojourn.runtime.lineage import Lineage
from sojourn.runtime.slo_watch import SLOWatch
from sojourn.slo.cause import Cause
from sojourn.slo.monitor import Monitor
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.history import FILE_NAME, open_history
from sojourn.telemetry.log import EventLog
from sojourn.telemetry.trace_store import TraceStore

WALL_S = 1_795_500_000.0
HOURLY = SLO(0.1, 0.99, 3600.0)


class Place:
    """A platform of one function, its watch and what is told; the clock begins at 1000 s."""

    def __init__(self, directory=None, slo=HOURLY, wall_s=WALL_S, replicas=1):
        self.now_s = 1000.0
        self.desk = Desk(replicas, queue=1000, slo=slo, now_s=self.now_s)
        self.lineages = {"f": Lineage(self.desk.service)}
        self.on_live_changed = []
        self.meter = self.desk.meter
        path = None if directory is None else directory / FILE_NAME
        self.history, why_not = (None, "") if path is None else open_history(path, wall_s)
        start_s = self.history.starts_at_s if self.history else wall_s
        self.events = PlatformEvents(EventLog(fd=os.open(os.devnull, os.O_WRONLY)))
        self.replicas_from_s, self.replicas_until_s, self.replicas = 0.0, 1e9, 0
        self.offset_s = start_s - self.now_s
        self.meter.monitor = Monitor("r", self.offset_s, self.replica_seconds)
        self.watch = SLOWatch(self, self.events, self.offset_s, self.history, why_not, lambda: self.now_s, path)
        self.insight = Insight(self.watch, TraceStore(), self.events.ring, clock=lambda: self.now_s)

    def replica_seconds(self, until_s):
        """As many replicas as the story has, from when until when it says."""
        return self.replicas * max(min(until_s, self.replicas_until_s) - self.replicas_from_s, 0.0)

    async def open(self):
        """Load and start, as a server does."""
        await self.watch.load()
        self.watch.start()
        return self

    def serve(self, good=0, late=0, refused=0):
        """So many requests at this instant."""
        for _ in range(good):
            self.meter.served(0.01, 0.0, self.now_s)
        for _ in range(late):
            self.meter.served(0.5, 0.0, self.now_s, Cause.COLD_START)
        for _ in range(refused):
            self.meter.ended(Outcome.SHED, self.now_s, Cause.REFUSED)

    async def run(self, seconds, **traffic):
        """So many seconds with this traffic in each; what is to be saved is saved in between."""
        for _ in range(seconds):
            self.now_s += 1.0
            self.serve(**traffic)
            self.watch._look()
            if self.watch.keeper.saving is not None:
                await self.watch.keeper.saving

    def told(self, event):
        """Events of this name, oldest first."""
        return [one for one in self.events.ring.latest(1000).events if one.event == event]

    async def status(self):
        """What the API says."""
        return await self.insight.slo("f")
