"""A loop that stands still is noticed, and only then."""

import asyncio
import threading

import pytest
import uvloop

from sojourn.runtime.watchdog import StallWatchdog

STALL_S = 0.05
PLACE = "stand_still (runtime/test_watchdog.py:"
PATIENCE_S = 30.0  # how long a test may hang before it fails; nothing waits for this to pass


class Events:
    """Events and their log in one that a test can wait for, from any thread."""

    def __init__(self):
        self.told = []
        self.log = self
        self._changed = threading.Condition()

    def warning(self, event, **fields):
        """Something was told."""
        with self._changed:
            self.told.append((event, fields))
            self._changed.notify_all()

    error = warning

    def until(self, event, count=1, place=""):
        """Wait for the `count`-th event of this name whose stack begins there; its fields."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.of(event, place)) >= count, PATIENCE_S), self.told
            return self.of(event, place)[count - 1]

    def of(self, event, place=""):
        """The fields of all events of this name whose stack begins there."""
        return [fields for name, fields in self.told if name == event and fields.get("stack", "").startswith(place)]


def stand_still(lock):
    """Block whoever calls until the test lets go."""
    assert lock.acquire(timeout=PATIENCE_S)
    lock.release()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def factory(request):
    """Both loops there are."""
    return request.param


def test_each_stall_is_told_once_with_its_place_and_its_length(factory):
    """The loop hangs in a function until the log has its name; both stalls are told, each once, each with its end."""
    events = Events()

    async def scene():
        watchdog = StallWatchdog(events, STALL_S)
        watchdog.start()
        try:
            for _ in range(20):
                lock = threading.Lock()
                lock.acquire()
                seen = len(events.of("loop.stalled"))

                def let_go_when_told(lock=lock, seen=seen):
                    # On a busy machine the stall may begin, and be told, before the function is reached.
                    fields = events.until("loop.stalled", seen + 1)
                    lock.release()
                    if fields["stack"].startswith(PLACE):
                        told.append(fields)

                helper = threading.Thread(target=let_go_when_told)
                helper.start()
                stand_still(lock)
                helper.join()
                await asyncio.to_thread(events.until, "loop.resumed", watchdog.stalls + 1)
                if len(told) == 2:
                    break
        finally:
            watchdog.stop()

    told = []
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(scene())
    assert len(told) == 2
    assert events.of("loop.stalled", PLACE) == told  # on a busy machine there may be others, at other places
    lengths_s = [fields["stood_still_s"] for fields in events.of("loop.resumed")]
    for stalled in told:
        assert "scene" in stalled["stack"]
        assert STALL_S <= stalled["silent_s"] <= max(lengths_s)
    assert len(events.of("loop.stalled")) <= len(lengths_s)


class Jumping:
    """A clock that shows the same instant once, and five seconds later from then on."""

    def __init__(self):
        self.looks = 0
        self.was_looked_at_often = threading.Event()

    def __call__(self):
        """Monotonic seconds."""
        self.looks += 1
        if self.looks > 5:
            self.was_looked_at_often.set()
        return 100.0 if self.looks == 1 else 105.0


def test_a_stopped_process_is_told_apart_from_a_stalled_loop():
    """When the watching thread itself comes late (SIGSTOP, no processor), the event says so, however often it looks."""
    events, clock = Events(), Jumping()
    watchdog = StallWatchdog(events, STALL_S, clock)
    watchdog._loop_thread = threading.get_ident()
    watchdog._beat_at_s = 100.0
    thread = threading.Thread(target=watchdog._watch)
    thread.start()
    assert events.until("loop.stalled")["is_whole_process"]
    assert clock.was_looked_at_often.wait(PATIENCE_S)
    assert len(events.told) == 1
    watchdog._is_over.set()
    thread.join()


def test_a_loop_that_runs_is_left_alone_and_nothing_stays_behind():
    """No event while the loop turns; stopping twice is harmless, and the thread is gone."""
    events, before = Events(), threading.active_count()

    async def scene():
        watchdog = StallWatchdog(events, 60.0)
        watchdog.start()
        assert threading.active_count() == before + 1
        for _ in range(100):
            await asyncio.sleep(0)
        watchdog.stop()
        watchdog.stop()

    asyncio.run(scene())
    assert events.told == []
    assert threading.active_count() == before


def test_a_watchdog_that_never_started_can_be_stopped():
    """So that whoever builds it can register its end first."""
    StallWatchdog(Events()).stop()
