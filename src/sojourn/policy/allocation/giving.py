"""Giving a pool away replica by replica: each to the first in rank of those who leave room for all that is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace
from math import inf

from sojourn.domain.resources import Resources
from sojourn.policy.allocation.port import Demand
from sojourn.policy.allocation.room import ROUNDING, DueRoom
from sojourn.policy.allocation.worth import Worth, slopes


class Contender:
    """A function on its way from its minimum to its ceiling.

    Attributes:
        replicas: What it has been given so far.
        share: Of the pool, for one replica.
        fair_share: Of the pool, by weight.
        slopes: What each replica past the minimum gains per share of the pool.
        ranks: Places of its open replicas in the order in which all would be given, the next replica's last.
        step: By so much a growing pool, as a share of this pool, has to grow until it owes one more replica.

    Args:
        demand: What it asks.
        ceiling: The most it is to be given.
        worth: Its utilities.
        share: As above.
        fair_share: As above.
    """

    __slots__ = ("ceiling", "demand", "fair_share", "ranks", "replicas", "share", "slopes", "step", "worth")

    def __init__(self, demand: Demand, ceiling: int, worth: Worth, share: float, fair_share: float) -> None:
        self.demand = demand
        self.worth = worth
        self.ceiling = ceiling
        self.replicas = demand.minimum
        self.share = share
        self.fair_share = fair_share
        self.slopes = slopes(demand, ceiling, worth, share) if ceiling > demand.minimum else []
        self.step = share / max(fair_share, ROUNDING)
        self.ranks = [0] * len(self.slopes)

    @property
    def is_open(self) -> bool:
        """Whether it wants more."""
        return self.replicas < self.ceiling

    def why(self) -> str:
        """Why it got less than it wants."""
        ceiling, worth = self.ceiling, self.worth
        return (
            f"{self.replicas} of {ceiling} wanted: the pool is used up; {self.replicas * self.share:.0%} of it"
            f" against a fair claim of {self.fair_share:.0%}, utility {worth.of(self.replicas):.3f}"
            f" (of {worth.of(ceiling):.3f})"
        )


class _Peers:
    """Contenders of equal share: the point that holds some of them back is the same for all."""

    __slots__ = ("held", "point", "share")

    def __init__(self, share: float, point: int) -> None:
        self.share = share
        self.point = point  # a due point without room for this share, the first when it was looked for
        self.held: list[tuple[int, int]] = []  # heap: points before its own, and rank, of each next replica held back


class Giving:
    """Raises the contenders' replicas one by one until nothing more that is wanted fits.

    Who may be next: those whose next replica leaves room, at each due point before its own, for all that is due by
    then. The one that is due first always may. Of these the greatest slope goes first, then replicas that are there
    already, then the least due point, then the first name.

    Room only shrinks but where a claim is dropped, so that a point that holds somebody back does so until nothing is due
    there any more; only then are those behind it looked at again. All comparisons of replicas are made once, by sorting.

    Args:
        contenders: All functions, in the order of their names.
        pool: What there is.
        used: What the minima use.
    """

    def __init__(self, contenders: Sequence[Contender], pool: Resources, used: Resources) -> None:
        self._pool = pool
        self._used = used
        # What the pool has none of is never given, and due in no pool.
        open_ones = [each for each in contenders if each.is_open and each.share < inf]
        given = sum(each.replicas * each.share for each in contenders if each.replicas)
        order: list[tuple[float, bool, float, int, int]] = []
        for number, each in enumerate(open_ones):
            current, step = each.demand.current, each.step
            order += [
                (-slope, count > current, count * step, number, count)
                for count, slope in enumerate(each.slopes, each.replicas + 1)
            ]
        order.sort()
        self._room = DueRoom(((due_at, open_ones[number].share) for _, _, due_at, number, _ in order), given)
        index = {due_at: point for point, due_at in enumerate(self._room.points)}
        # By rank: whose replica it is, and its due point; each contender's ranks, that of its next replica last.
        self._whose = [open_ones[number] for _, _, _, number, _ in order]
        self._point = [index[due_at] for _, _, due_at, _, _ in order]
        for rank, (_, _, _, number, count) in enumerate(order):
            open_ones[number].ranks[-(count - open_ones[number].replicas)] = rank
        # A heap: the next replicas that nothing is known to hold back.
        self._ranks = [each.ranks[-1] for each in open_ones]
        heapify(self._ranks)
        self._nowhere = len(index)
        self._peers = {each.share: _Peers(each.share, self._nowhere) for each in open_ones}
        self._waiting: dict[int, list[_Peers]] = {}  # by the point that holds some of them back
        self._claims = Counter(each.demand.claim for each in open_ones)

    def run(self) -> None:
        """Give until it is done."""
        ranks, room = self._ranks, self._room
        while ranks:
            rank = ranks[0]
            chosen, point = self._whose[rank], self._point[rank]
            peers, before = self._peers[chosen.share], room.before[point]
            if peers.point < before:
                heappush(peers.held, (before, heappop(ranks)))
                continue
            short = room.first_below(chosen.share)
            if short < before:
                self._await(peers, short)
                heappush(peers.held, (before, heappop(ranks)))
                continue
            more = self._used.plus(chosen.demand.claim)
            if more.fits(self._pool):
                self._used = more
                self._give(chosen, point)
                continue
            self._drop(chosen)
            if not self._has_room():
                break

    def _give(self, chosen: Contender, point: int) -> None:
        chosen.replicas += 1
        chosen.ranks.pop()
        if chosen.ranks:
            heapreplace(self._ranks, chosen.ranks[-1])
        else:
            heappop(self._ranks)
            self._claims[chosen.demand.claim] -= 1
        if self._room.give(point, chosen.share):
            for peers in self._waiting.pop(point, ()):
                self._release(peers)

    def _drop(self, chosen: Contender) -> None:
        """It cannot have what is owed to it, so nobody has to leave room for that."""
        heappop(self._ranks)
        self._claims[chosen.demand.claim] -= 1
        for rank in chosen.ranks:
            self._room.drop(self._point[rank], chosen.share)
        for peers in self._peers.values():
            if not peers.held:
                peers.point = self._nowhere
            elif not self._room.is_below(peers.point, peers.share):
                self._release(peers)

    def _has_room(self) -> bool:
        """Whether a claim of anybody who wants more still fits; what does not fit now never will."""
        while self._claims:
            claim = next(reversed(self._claims))
            if self._claims[claim] and self._used.plus(claim).fits(self._pool):
                return True
            del self._claims[claim]
        return False

    def _await(self, peers: _Peers, point: int) -> None:
        """Peers are held back until nothing is due any more at this point."""
        peers.point = point
        self._waiting.setdefault(point, []).append(peers)

    def _release(self, peers: _Peers) -> None:
        """Let those go on that nothing holds back any more."""
        point = self._room.first_below(peers.share)
        while peers.held and peers.held[0][0] <= point:
            heappush(self._ranks, heappop(peers.held)[1])
        if point != peers.point:
            self._await(peers, point)
