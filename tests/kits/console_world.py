"""What each panel of a console may find, without a stage; every text in it is the caller's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from quintet.contract import Slo
from quintet.jobs.store import JobPage, JobSummary
from quintet.monitoring.burn import Burn, Burned
from quintet.replay.items import ReplayDepth
from quintet.rollouts.gates import GateRow, Verdict
from quintet.rollouts.state import Rollout
from quintet.rollouts.store import Cause, Change
from quintet.serving.routes import Route, Version
from quintet.streaming.parts import Counters, Window
from quintet_cli.budgets import Budget, Budgets
from quintet_cli.console.sources.records import Captured
from quintet_cli.console.sources.refusals import Refusals
from quintet_cli.console.sources.rollouts import InProgress, Rollouts
from quintet_cli.console.sources.service import Charts, Slos
from quintet_cli.console.sources.streams import Streams
from quintet_cli.console.sources.work import JobList, RunLine, RunList
from quintet_cli.rollouts import Promise, Report
from quintet_cli.stream_status import Status

__all__ = ["NOW", "world"]

NOW = 1_796_000_000.0

Text = Callable[[str], str]


@dataclass(frozen=True)
class Source:
    """A source of replays, as far as it is shown."""

    name: str
    noun: str
    about: str
    destination: str


def world(name: str, text: Text) -> Any:
    """What a panel finds; `text` makes every text of it."""
    return _FOUND[name](text)


def _routes(text: Text) -> list[Route]:
    versions = {
        number: Version(
            number,
            text(f"{number * 2654435761:012x}"),
            "seal",
            107_000 + number,
            "2026-11-30T09:12:44Z",
        )
        for number in (1, 2, 3)
    }
    entities = {text("customer 17"): 2}
    split: dict[str, Any] = {
        "canary": 2,
        "canary_share": 0.1,
        "shadow": 3,
        "overrides": entities,
        "rollout": "r",
    }
    return [Route(text("fraud"), 1, 7, versions, **split)]


def _rollouts(text: Text) -> Rollouts:
    rollout = Rollout(
        id=text("v2-20261130t091244-5ac3"),
        model=text("fraud"),
        live=1,
        candidate=2,
        phase="canary",
        steps=(0.1, 0.5, 1.0),
        step=0,
        started=NOW - 600,
        entered=NOW - 300,
        by=text("arn:aws:sts::123456789012:assumed-role/deploy"),
        reason=text("trained on November"),
    )
    gates = (
        GateRow("failures", 0.0, 0.0, 4210, 1671, 0.02, 400, "ok"),
        GateRow("score", 0.06, 0.21, 120, 67, 812.0, 400, "bad", dry_run=True),
        GateRow("latency", None, None, 12, 166, 1.0, 400, "no evidence"),
    )
    verdict = Verdict("no evidence", text("latency has 12 of 166 entities"), gates)
    promise = Promise(0.1, 4000, 405, 4210, 431)
    report = Report({"live": 1}, rollout, verdict, promise, running=True)
    cause = Cause(at=NOW - 600, by=text("maria"), reason=text("trained on November"))
    change = Change(
        model=text("fraud"),
        event="started",
        cause=cause,
        before={"live": 1, "revision": 6},
        after={"live": 1, "revision": 7},
        rollout=rollout,
    )
    hint = text(
        "`quintet rollout resume fraud` lets it go on, `quintet rollout rollback fraud` ends it"
    )
    shown = InProgress(text("fraud"), report, text("version 2 as canary at 10 %, paused"), hint)
    return Rollouts([shown], [(change, text("version 2 as canary at 10 %"))])


def _charts(text: Text) -> Charts:
    rows: list[dict[str, Any]] = [
        {
            "model": text(name),
            "hour": 12_400.0,
            "recent": 1_020.0,
            "failed": 3.0,
            "refused": 41.0,
            "p50": 4.2,
            "p95": 11.9,
        }
        for name in ("fraud", "tickets")
    ]
    times = [int(NOW) // 60 * 60 - 60 * minute for minute in range(59, -1, -1)]
    names = [row["model"] for row in rows]
    asked, took = [_wave(240, 80), _wave(90, 30, 2.0)], [_wave(9, 2, 1.0), _wave(14, 3, 4.0)]
    return Charts(
        rows, {"names": names, "data": [times, *asked]}, {"names": names, "data": [times, *took]}
    )


def _wave(level: float, height: float, phase: float = 0.0) -> list[float | None]:
    waves = (math.sin(minute / 9 + phase) + math.sin(minute * 1.7) / 4 for minute in range(60))
    return [round(level + height * wave, 1) for wave in waves]


def _slos(text: Text) -> Slos:
    spent = Burned(1_204_311, 804, 31_200)
    burns = {"5m": Burn(15.2, "availability", spent), "1h": Burn(14.9, "availability", spent)}
    budgets = Budgets(
        {text("fraud"): Budget(Slo(p95_ms=100.0, availability=0.999), spent, burns)}, {}, 2, 0
    )
    return Slos(
        budgets, [text("page: fraud burns at least 14.4 times too fast")], text("of 30 days")
    )


def _jobs(text: Text) -> JobList:
    jobs = [
        JobSummary(
            text("5af35c33a0b94a12bd3de5bb5b28a9c4"), text("tickets"), 4, "DONE", NOW, NOW + 1
        ),
        JobSummary(
            text("77e0c1f2a4a54e0db6c2f7f64c1f1a55"), text("tickets"), 4, "FAILED", NOW, NOW
        ),
        JobSummary(
            text("b1ce0a1207ca44d2b3f2b4a0c07a7d60"), text("tickets"), 4, "LEASED", NOW, NOW
        ),
    ]
    return JobList(text("arn:aws:sts::123456789012:assumed-role/shop"), JobPage(jobs, "next"))


def _runs(text: Text) -> RunList:
    counts = {"rows": 4_335, "scored": 4_297, "quarantined": 38}
    name = text("churn-customers-432258d8cd98fe6fa0a41f7c")
    file = text("churn/month=2026-11/customers_with_a_long_name.csv")
    going = RunLine(
        text("churn"), name, "2026-11-30T09:00:00Z", text("running: 1,200 of 4,335 rows"), file,
        *(0.28, None, False, False),
    )  # fmt: skip
    ended = RunLine(
        *(text("churn"), name, "2026-11-29T09:00:00Z", "succeeded", file, 1.0, counts, True, True)
    )
    return RunList([going, ended], 44)


def _streams(text: Text) -> Streams:
    status = Status(text("shop-EventsStream"), text("bucket"), 4, 2, 1.25, 5, 3, 0)
    values = {"readings": 144, "temperature_mean": 20.22, text("place"): text("cellar")}
    entities: Any = {text(f"room {number}"): values for number in range(4)}
    window = Window(text("sensor"), NOW - 60, 60.0, entities, Counters(576), 4)
    return Streams(status, [window])


def _days(text: Text) -> list[dict[str, Any]]:
    day = {
        "model": text("fraud"),
        "day": text("2026-11-29"),
        "version": 1,
        "rows": {"scored": 120_411, "refused": 52, "failed": 0},
        "moved": [text("amount"), text("hour")],
        "drifting": [text("amount")],
    }
    return [day]


def _captures(text: Text) -> list[Captured]:
    row = {
        "served_at": datetime.fromtimestamp(NOW, UTC),
        "model": text("fraud"),
        "version": 2,
        "path": text("online"),
        "route": text("canary"),
        "entity": text("17850"),
        "event": text("019aeb6d0f5b4f2f9c40a81de0a1c0c7"),
    }
    return [Captured(row, text("refused: amount: expected a number, got 'x'"), 3)]


def _refusals(text: Text) -> Refusals:
    source: Any = Source(
        text("WorkDeadLetters"), text("messages"), text("shop-WorkQueue"), text("shop-WorkQueue")
    )
    replay = {
        "started": "2026-11-30T09:12:44.120934+00:00",
        "place": text("WorkDeadLetters"),
        "sent": [{}, {}],
        "status": text("done"),
        "who": {
            "arn": text("arn:aws:iam::123456789012:user/maria"),
            "via": text("quintet console"),
        },
        "filters": [text("model=tickets")],
    }
    return Refusals([(source, ReplayDepth(12, text("3 of them replayed before")))], [replay])


_FOUND: dict[str, Callable[[Text], Any]] = {
    "models": _routes,
    "rollouts": _rollouts,
    "traffic": _charts,
    "slo": _slos,
    "jobs": _jobs,
    "runs": _runs,
    "stream": _streams,
    "drift": _days,
    "captures": _captures,
    "refused": _refusals,
}
