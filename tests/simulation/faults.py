"""Which calls fail, and how: drawn from a seed, recorded, and repeated from the record.

A decision is a function of the seed, the call site and the number of the call, as in the local
AWS's fault plans: leaving one fault out, or one input, does not move the others.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from quintet_local.faults import draw

__all__ = ["CALL_KINDS", "DELAYS", "LOCAL_KINDS", "Fault", "Faults"]

#: what may become of a call: refused before it is done; done, and its reply lost; the caller killed
#: before or after; done late, or its reply late; done twice, as a client does that lost a reply
CALL_KINDS = (
    "throttled",
    "reply lost",
    "killed before",
    "killed after",
    "delayed",
    "reply delayed",
    "done twice",
)
#: of a call that leaves the process for nowhere, such as a line of its log
LOCAL_KINDS = ("killed before", "killed after")
#: a port that does not answer for a while
CLOGGED = "clogged"

#: how long delays are, in seconds: short ones are as likely as those past every time-out
DELAYS = (0.5, 1500.0)
#: the share of calls with a fault, by how rough the weather is
WEATHER = (0.0, 0.03, 0.08, 0.15)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: of the `number`-th call at a site; of a clogged port, of its `number`-th clog."""

    site: str
    number: int
    kind: str
    seconds: float = 0.0

    def __str__(self) -> str:
        wait = f" by {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.site} #{self.number}: {self.kind}{wait}"


@dataclass(frozen=True, slots=True)
class _Clog:
    fault: Fault
    start: float
    end: float


@dataclass(slots=True)
class Faults:
    """The faults of one simulation, until the weather clears at `calm` (simulated seconds).

    `rare` multiplies the rate at sites that are seldom called; delays are as long as one of
    `delays` says. With `only`, no other fault happens than these. `happened` is the record.
    """

    seed: int
    calm: float
    rare: Mapping[str, float] = field(default_factory=dict)
    delays: Sequence[tuple[float, float]] = (DELAYS,)
    only: Collection[Fault] | None = None
    happened: list[Fault] = field(default_factory=list)
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: what may become of a call, by site
    sites: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: calls that met a clogged port while another port was clogged, too
    together: int = 0
    rate: float = 0.0
    _delays: tuple[float, float] = DELAYS
    _weights: dict[str, float] = field(default_factory=dict)
    _numbers: Counter[str] = field(default_factory=Counter)
    _clogs: dict[str, list[_Clog]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chance = random.Random(f"{self.seed}/weather")
        self.rate = chance.choice(WEATHER)
        # each simulation has some kinds of faults and not others: all at once hide each other
        kinds = sorted({*CALL_KINDS, *LOCAL_KINDS, "again", "out of order", "late"})
        self._weights = {kind: chance.choice((0.0, 1.0, 1.0, 3.0)) for kind in kinds}
        self._delays = chance.choice(self.delays)

    def clog(self, ports: Iterable[str], start: float, most: float) -> None:
        """Draw which ports do not answer for a while, from `start` on and for `most` seconds."""
        chance = random.Random(f"{self.seed}/clogs")
        for port in ports:
            if not self.rate or chance.random() > 0.12:
                continue
            begin = start + chance.uniform(0, max(0.0, self.calm - start - most))
            fault = Fault(port, len(self._clogs.get(port, ())), CLOGGED)
            if self._allowed(fault):
                clog = _Clog(fault, begin, min(self.calm, begin + chance.uniform(1, most)))
                self._clogs.setdefault(port, []).append(clog)

    def fail(self, where: str, start: float, end: float) -> None:
        """Let a port, or one call site, not answer for that time, in whatever weather."""
        fault = Fault(where, 0, CLOGGED)
        if self._allowed(fault):
            self._clogs.setdefault(where, []).append(_Clog(fault, start, end))
        self.calm = max(self.calm, end)

    def number(self, stream: str) -> int:
        """The number of the next draw of a stream."""
        self._numbers[stream] += 1
        return self._numbers[stream]

    def uniform(self, stream: str) -> float:
        """The next value of a stream, in [0, 1)."""
        return draw(self.seed, stream, self.number(stream))

    def at(self, site: str, now: float, kinds: tuple[str, ...]) -> Fault | None:
        """What becomes of the next call at a site; None if it is done in peace."""
        number = self.number(site)
        self.sites[site] = kinds
        if now >= self.calm:
            return None
        clogs = self._clogs.get(site.partition(".")[0], []) + self._clogs.get(site, [])
        for clog in clogs:
            if clog.start <= now < clog.end and "throttled" in kinds:
                if clog.fault not in self.happened:
                    self.happened.append(clog.fault)
                self.hits[site, CLOGGED] += 1
                self.together += self._clogged(now) > 1
                return clog.fault
        if draw(self.seed, site, number) >= self.rate * self.rare.get(site, 1.0):
            return None
        return self._drawn(site, number, kinds)

    def _clogged(self, now: float) -> int:
        """How many ports do not answer at a moment."""
        return sum(
            any(clog.start <= now < clog.end for clog in clogs) for clogs in self._clogs.values()
        )

    def _drawn(self, site: str, number: int, kinds: tuple[str, ...]) -> Fault | None:
        weights = [self._weights[kind] for kind in kinds]
        at = draw(self.seed, f"{site}/kind", number) * sum(weights)
        for kind, weight in zip(kinds, weights, strict=True):
            at -= weight
            if at < 0:
                fault = Fault(site, number, kind, self._seconds(site, number, kind))
                if not self._allowed(fault):
                    return None
                self.happened.append(fault)
                self.hits[site, kind] += 1
                return fault
        return None

    def _seconds(self, site: str, number: int, kind: str) -> float:
        if kind not in ("delayed", "reply delayed", "late", "again"):
            return 0.0
        shortest, longest = self._delays
        stretch = math.log(longest / shortest) * draw(self.seed, f"{site}/late", number)
        return round(shortest * math.exp(stretch), 3)

    def _allowed(self, fault: Fault) -> bool:
        return self.only is None or fault in self.only
