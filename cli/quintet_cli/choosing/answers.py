"""The answer for some needs: a pattern, why, and what would change it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from quintet_cli.choosing.break_even import BreakEven, break_even
from quintet_cli.choosing.designs import DESIGNS, Design, Pattern
from quintet_cli.choosing.needs import Delay, Known, Load, Loss, Needs, Source, shown
from quintet_cli.choosing.rules import (
    COLLECT_LOWEST_S,
    COLLECT_S,
    GATEWAY_S,
    GATHER_S,
    MOST_GB,
    MOST_S,
    Rule,
    collect_s,
    rule_of,
)

__all__ = ["Answer", "choose"]


#: how a flip names what is known of an input
_BEFORE = {
    Known.none: "nothing of the input",
    Known.some: "part of the input",
    Known.all: "all of the input",
}


class Alternative(BaseModel):
    """Another pattern, and when to take it."""

    model_config = ConfigDict(frozen=True)

    pattern: Pattern
    when: str


class Flip(BaseModel):
    """A change of one need that changes the answer."""

    model_config = ConfigDict(frozen=True)

    change: str
    pattern: Pattern
    rule: str


class Answer(BaseModel):
    """The pattern for some needs, why, and what would change it."""

    model_config = ConfigDict(frozen=True)

    pattern: Pattern
    rule: str
    reasons: tuple[str, ...]
    design: Design
    alternatives: tuple[Alternative, ...]
    flips: tuple[Flip, ...]
    break_even: BreakEven | None
    needs: Needs


def choose(needs: Needs) -> Answer:
    """Return the answer of the first rule that holds."""
    rule, even = rule_of(needs), break_even(needs.model_ms)
    words = {
        **needs.model_dump(),
        "latency": shown(needs.latency_s),
        "freshness": shown(needs.freshness_s),
        "even": even.requests_per_second if even else 0.0,
    }
    return Answer(
        pattern=rule.pattern,
        rule=rule.name,
        reasons=tuple(reason.format(**words) for reason in rule.reasons),
        design=DESIGNS[rule.pattern],
        alternatives=tuple(Alternative(pattern=p, when=when) for p, when in rule.alternatives),
        flips=tuple(_flips(needs, rule, even)),
        break_even=even if rule.name in {"steady", "wait"} else None,
        needs=needs,
    )


def _flips(needs: Needs, rule: Rule, even: BreakEven | None) -> Iterator[Flip]:
    """Return the smallest change of each kind that leads to another pattern."""
    seen = set()
    for change, update in _changes(needs, even):
        other = rule_of(needs.model_copy(update=update))
        kind = (*update, other.pattern)
        if other.pattern is not rule.pattern and kind not in seen:
            seen.add(kind)
            yield Flip(change=change, pattern=other.pattern, rule=other.name)


def _changes(needs: Needs, even: BreakEven | None) -> Iterator[tuple[str, dict[str, object]]]:
    """Return changes, each just across a bound of the rules, the smaller of a kind first."""
    yield from _times(needs)
    soon = min(needs.latency_s, float(GATEWAY_S))
    for source, inputs in ((Source.request, "requests"), (Source.events, "events")):
        if source is not needs.source:
            change = f"inputs as {inputs}, answered within {shown(soon)}"
            yield change, {"source": source, "latency_s": soon}
    yield "inputs as files", {"source": Source.files}
    for known in Known:
        yield f"{_BEFORE[known]} known beforehand", {"known": known}
    yield ("no callback" if needs.callback else "a callback"), {"callback": not needs.callback}
    yield (
        "nothing may be lost and a late answer counts",
        {"loss": Loss.none, "delay": Delay.some},
    )
    if even:
        rate = even.requests_per_second
        yield (
            f"a steady load of {rate:.1f} a second or more",
            {"load": Load.steady, "rate": max(rate, needs.rate)},
        )
        yield f"under {rate:.1f} a second", {"rate": min(rate * 0.99, needs.rate)}
    yield "a load with spikes", {"load": Load.spiky}
    yield ("no GPU" if needs.gpu else "a GPU"), {"gpu": not needs.gpu}
    large = needs.size_gb > MOST_GB
    yield (
        (f"{MOST_GB} GB or less" if large else f"over {MOST_GB} GB"),
        {"size_gb": float(MOST_GB + (not large))},
    )
    yield f"{shown(MOST_S)} of the model or less", {"model_ms": min(needs.model_ms, MOST_S * 1000)}


def _times(needs: Needs) -> Iterator[tuple[str, dict[str, object]]]:
    collect = collect_s(needs)
    if needs.latency_s >= GATHER_S:
        yield f"latency under {shown(GATHER_S)}", {"latency_s": GATHER_S * 0.99}
    if needs.latency_s > GATEWAY_S:
        yield f"latency of {GATEWAY_S} s or less", {"latency_s": float(GATEWAY_S)}
    else:
        yield f"latency over {GATEWAY_S} s", {"latency_s": GATEWAY_S + 1.0}
    if needs.latency_s < collect:
        yield f"latency of {shown(collect)} or more", {"latency_s": float(collect)}
    for bound in (COLLECT_S, COLLECT_LOWEST_S):
        if needs.freshness_s >= bound:
            yield f"freshness under {shown(bound)}", {"freshness_s": bound - 1.0}
