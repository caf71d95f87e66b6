"""The rules of `quintet choose`, as one table: docs/choose.md prints it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quintet_cli.choosing.break_even import break_even
from quintet_cli.choosing.designs import Pattern
from quintet_cli.choosing.needs import Cost, Delay, Known, Load, Loss, Needs, Source, shown

__all__ = [
    "COLLECT_LOWEST_S",
    "COLLECT_S",
    "GATEWAY_S",
    "GATHER_S",
    "MOST_GB",
    "MOST_S",
    "RULES",
    "Rule",
    "collect_s",
    "rule_of",
]

#: seconds that API Gateway waits for an answer
GATEWAY_S = 29
#: seconds that a record of a stream, or a job, takes at least: gathering, then a worker
GATHER_S = 3
#: seconds from which rows are worth collecting in files, and with `--cost lowest`
COLLECT_S, COLLECT_LOWEST_S = 3600, 900
#: GB of memory of the largest function; seconds of the longest invocation
MOST_GB, MOST_S = 10, 900


@dataclass(frozen=True)
class Rule:
    """One row of the table; `reasons` may name needs and the break-even in braces."""

    name: str
    when: str
    holds: Callable[[Needs], bool]
    pattern: Pattern
    reasons: tuple[str, ...]
    alternatives: tuple[tuple[Pattern, str], ...]


def collect_s(needs: Needs) -> int:
    """Return the seconds from which rows are worth collecting in files."""
    return COLLECT_LOWEST_S if needs.cost is Cost.lowest else COLLECT_S


def _collected(needs: Needs) -> bool:
    late = needs.latency_s >= collect_s(needs) and not needs.callback
    return needs.freshness_s >= COLLECT_LOWEST_S and (needs.source is Source.files or late)


def _ahead(needs: Needs, known: Known) -> bool:
    """Whether answers, or candidates, can be made before they are asked for."""
    asked = needs.source is Source.request and not needs.callback
    return asked and needs.known is known and needs.freshness_s >= COLLECT_S


def _queued(needs: Needs) -> bool:
    safe = needs.loss is Loss.none and needs.delay is Delay.some and needs.latency_s >= GATHER_S
    return needs.source is Source.request and (
        needs.callback or needs.latency_s > GATEWAY_S or safe
    )


def _server_is_cheaper(needs: Needs) -> bool:
    found = break_even(needs.model_ms)
    steady = needs.load is Load.steady
    return steady and found is not None and needs.rate >= found.requests_per_second


#: the first rule that holds decides
RULES = (
    Rule(
        "gpu",
        "the model needs a GPU (`--gpu`)",
        lambda needs: needs.gpu,
        Pattern.server,
        ("Lambda has no GPU",),
        ((Pattern.asynchronous, "a smaller or quantised model meets the latency on a CPU"),),
    ),
    Rule(
        "size",
        f"model and code are over {MOST_GB} GB (`--size-gb`)",
        lambda needs: needs.size_gb > MOST_GB,
        Pattern.server,
        (f"{{size_gb:g}} GB do not fit: a function has {MOST_GB} GB of memory at most",),
        ((Pattern.online, "the model, quantised or distilled, has a few GB"),),
    ),
    Rule(
        "long",
        f"one record takes over {shown(MOST_S)} of the model (`--model-ms`)",
        lambda needs: needs.model_ms > MOST_S * 1000,
        Pattern.server,
        (f"an invocation ends after {shown(MOST_S)} at most",),
        ((Pattern.asynchronous, "a record can be cut into parts of a few minutes each"),),
    ),
    Rule(
        "files",
        f"inputs come as files, or an answer has {shown(COLLECT_S)} or more "
        f"({shown(COLLECT_LOWEST_S)} with `--cost lowest`) and nobody wants a callback; and data "
        f"may be {shown(COLLECT_LOWEST_S)} old or older (`--freshness`)",
        _collected,
        Pattern.batch,
        (
            "nobody waits for a single answer: all of them may take {latency}",
            "a million rows in files cost less than a cent, a million requests some dollars",
        ),
        ((Pattern.asynchronous, "each caller wants an answer of its own, by a callback"),),
    ),
    Rule(
        "ahead",
        f"a request asks for what is known before (`--known all`) and may be "
        f"{shown(COLLECT_S)} old or older (`--freshness`)",
        lambda needs: _ahead(needs, Known.all),
        Pattern.batch,
        (
            "all of the input is known before the request: scores can be made ahead",
            "answers may be {freshness} old; a request is one look-up, without the model",
        ),
        ((Pattern.online, "most of the scores made ahead would never be asked for"),),
    ),
    Rule(
        "rerank",
        f"a request adds to what is known before (`--known some`), which may be "
        f"{shown(COLLECT_S)} old or older (`--freshness`)",
        lambda needs: _ahead(needs, Known.some),
        Pattern.hybrid,
        (
            "candidates may be {freshness} old: a run makes them ahead, for every user",
            "only the ranking of a few hundred of them has to fit into {latency}",
        ),
        (
            (Pattern.batch, "the request adds nothing: look up what was made ahead"),
            (Pattern.online, "the catalogue is small enough to score all of it in a request"),
        ),
    ),
    Rule(
        "events",
        f"inputs come as events, or as files that would be too old, and an answer has "
        f"{shown(GATHER_S)} or more",
        lambda needs: needs.source is not Source.request and needs.latency_s >= GATHER_S,
        Pattern.streaming,
        (
            "records are sent as they arise, and nobody waits on a connection",
            "within {latency} records can be gathered: one run of the model scores all of a batch",
        ),
        (
            (Pattern.online, f"an alert is needed in less than {shown(GATHER_S)}"),
            (Pattern.batch, f"answers are needed once in {shown(COLLECT_S)} or less often"),
        ),
    ),
    Rule(
        "queue",
        f"a request wants a callback (`--callback`), or has more than {GATEWAY_S} s, or "
        f"{shown(GATHER_S)} or more while nothing may be lost (`--loss none`) and a late answer "
        "counts (`--delay some`)",
        _queued,
        Pattern.asynchronous,
        (
            "the caller need not hold a connection: an accepted job is stored before the answer",
            "a queue takes the spikes; workers score what waits together, within {latency}",
        ),
        (
            (Pattern.online, f"an answer is needed on the same connection within {GATEWAY_S} s"),
            (Pattern.batch, f"{shown(COLLECT_S)} or more are enough, and inputs can be collected"),
        ),
    ),
    Rule(
        "steady",
        "a caller waits, the load is steady (`--load steady`) and at or above the break-even",
        _server_is_cheaper,
        Pattern.server,
        (
            "from {even:.1f} requests a second, day and night, a server costs less; "
            "this load is {rate:,.4g}",
        ),
        (
            (Pattern.online, "you would rather not run servers: scaling, patches, two zones"),
            (
                Pattern.online,
                "on Lambda Managed Instances: functions on instances that you pay by the hour; "
                "their prices are not in the table",
            ),
        ),
    ),
    Rule(
        "wait",
        f"otherwise: a caller waits, or events need an answer in less than {shown(GATHER_S)} and "
        "their producer calls the API",
        lambda needs: True,
        Pattern.online,
        ("whoever sends the input waits for the answer, for {latency} at most",),
        (
            (Pattern.asynchronous, "the caller can poll or receive a callback"),
            (Pattern.hybrid, "part of the answer can be made ahead (`--known some`)"),
        ),
    ),
)


def rule_of(needs: Needs) -> Rule:
    """Return the first rule that holds; the last one always does."""
    return next(rule for rule in RULES if rule.holds(needs))
