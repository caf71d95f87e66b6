"""The report of a run: counted from the units' own results, never from the map's return value.

A run has succeeded when every row of its input is scored or quarantined. Only then is its
manifest written, as the last object and once: readers that go by the manifest see a whole run or
none. A report replaces only the one that there was before it counted: one that counted early and
wakes late, after a redrive, loses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from quintet.batch.candidates import candidate_notes, expiry_note, merged_candidates
from quintet.batch.costs import estimate
from quintet.batch.page import page
from quintet.batch.plans import Plan, RefusedPlan, RunPaths, dump, plan_from
from quintet.batch.stores import ConditionalObjects, ObjectStore
from quintet.batch.verdicts import ended, verdict
from quintet.errors import Transient
from quintet.monitoring.drift import compared, drift_of
from quintet.monitoring.histograms import merged, noting
from quintet.monitoring.samples import Reference

__all__ = ["report_run"]

SLOWEST = 5
EXAMPLES = 3
#: number of unit results that are read in parallel
THREADS = 16


def report_run(
    folder: RunPaths,
    *,
    store: ObjectStore,
    cells: ConditionalObjects,
    clock: Callable[[], datetime],
    failure: str | None = None,
    reference: Callable[[Plan], Reference | None] = lambda plan: None,
    live: Callable[[], Mapping[str, Any] | None] = lambda: None,
    memory_mb: int = 0,
) -> dict[str, Any]:
    """Write report.json and report.html, and the manifest of a run that succeeded.

    `cells` are the same objects as `store`. `failure` names the error that ended the run early. A
    run that has succeeded does not change. `reference` gives the reference for a run's drift,
    `live` the pointer to the candidates that readers see, `memory_mb` is the memory of its units.

    Raises:
        Transient: the store could not be read, or another report was written meanwhile.
    """
    before = {key: cells.read(key) for key in (folder.report, folder.page)}
    if store.get(folder.manifest) is not None:
        report = orjson.loads(store.get(folder.report) or b"{}")
        return _summary(folder, report)
    body = store.get(folder.plan)
    plan = plan_from(body) if body else None
    if isinstance(plan, Plan):
        results = _results(plan, store)
        report = _counted(plan, results, failure)
        _describe(report, results, lambda: reference(plan), memory_mb)
    else:
        report = {**_unplanned(folder, plan, failure), "notes": []}
    report["finished"] = clock().astimezone(UTC).isoformat(timespec="milliseconds")
    report["seconds"] = _seconds(report["started"], report["finished"])
    trial = isinstance(plan, Plan) and plan.trial
    if note := expiry_note(live() if trial else _seen(report, live()), clock().timestamp()):
        report["notes"].append(note)
    shown = _page(report)
    written = {folder.report: dump(report), folder.page: shown}
    if isinstance(plan, Plan) and report["status"] == "succeeded":
        written[folder.manifest] = dump(_manifest(plan, report))
    for key, body in written.items():
        held = before.get(key)
        if not cells.swap(key, body, held and held[1]):
            raise Transient(f"another report of {folder.run} was written meanwhile")
    return _summary(folder, report)


def _seen(report: dict[str, Any], live: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The run whose candidates readers see after this report: this one, or that of the pointer."""
    found = report.get("candidates")
    return report if found and found["users"] and report["status"] == "succeeded" else live


def _summary(folder: RunPaths, report: dict[str, Any]) -> dict[str, Any]:
    """The return value for the state machine: small, regardless of the run's size."""
    drift = report.get("drift") or {"moved": 0}
    return {
        "run": folder.run,
        "model": report["model"] or "unknown",  # a message attribute must not be empty
        "status": report["status"],
        "cause": report["cause"],
        "report": folder.report,
        "page": folder.page,
        "counts": report["counts"],
        "finished": report["finished"],
        "seconds": report["seconds"],
        "drift": {"compared": len(compared(drift)), "moved": drift["moved"]},
    }


def _seconds(started: str | None, finished: str) -> float | None:
    if started is None:
        return None
    length = datetime.fromisoformat(finished) - datetime.fromisoformat(started)
    return round(length.total_seconds(), 3)


def _unplanned(folder: RunPaths, plan: RefusedPlan | None, failure: str | None) -> dict[str, Any]:
    """The report of a run that could not be planned."""
    if plan is not None:
        status, cause = "refused", "; ".join(plan.refusals[:10])
        source = {"bucket": plan.bucket, "key": plan.key, "version_id": plan.version_id}
    else:
        status, source = ended(failure), {}
        cause = f"The run could not be planned ({failure or 'no plan was written'})."
    return {
        "run": folder.run,
        "model": folder.model,
        "status": status,
        "cause": cause,
        "refusals": list(plan.refusals) if plan else [],
        "started": plan.started if plan else None,
        "code": plan.code if plan else None,
        "input": source,
        "counts": {"rows": 0, "scored": 0, "quarantined": 0, "fallback": 0, "unaccounted": 0},
    }


def _results(plan: Plan, store: ObjectStore) -> list[dict[str, Any]]:
    """Read the results of all units."""
    units = orjson.loads(store.get(plan.units_key) or b"[]")
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda unit: _result(plan, unit, store), units))


def _counted(plan: Plan, results: list[dict[str, Any]], failure: str | None) -> dict[str, Any]:
    """The report of the units' results, without the parts that `_describe` adds."""
    bad = [result for result in results if result["status"] != "done"]
    counts = {name: sum(r[name] for r in results) for name in ("scored", "quarantined", "fallback")}
    counts["rows"] = plan.rows
    counts["unaccounted"] = plan.rows - counts["scored"] - counts["quarantined"]
    reasons = _reasons(results)
    found = verdict(plan, counts, bad, reasons, failure)
    return {
        "run": plan.run,
        "model": plan.model,
        "version": plan.version,
        "digest": plan.digest,
        "contract": plan.contract,
        "code": plan.code,
        "status": found.status,
        "cause": found.cause,
        "started": plan.started,
        "partition": plan.partition,
        "features": asdict(plan.features) if plan.features else None,
        "input": {
            **asdict(plan.input),
            "format": plan.format,
            "gzip": plan.gzip,
            "columns": list(plan.columns),
            "ignored": list(plan.ignored),
        },
        "output": plan.output,
        "notes": [*plan.notes, *dict.fromkeys(n for r in results for n in r.get("notes", []))],
        "counts": counts,
        "reasons": reasons,
        "histogram": None,
        "drift": None,
        "candidates": None,
        "cost": None,
        "units": {
            "planned": len(results),
            "done": len(results) - len(bad),
            "failed": [
                {name: r[name] for name in ("unit", "first_row", "rows", "reason")} for r in bad
            ],
            "slowest": _slowest(results),
            "peak_mb": max((r.get("peak_mb", 0.0) for r in results), default=0.0),
            "busy_seconds": round(sum(r.get("ms", 0) for r in results) / 1000, 3),
        },
        "files": [file for r in results for file in r.get("files", [])],
    }


def _describe(
    report: dict[str, Any],
    results: list[dict[str, Any]],
    reference: Callable[[], Reference | None],
    memory_mb: int,
) -> None:
    """Add the histogram, drift, defaults and cost; add a note for each that fails."""
    with noting(report["notes"], "The histogram of the scores"):
        report["histogram"] = merged(r["histogram"] for r in results if r.get("histogram"))
    with noting(report["notes"], "Drift"):
        report["drift"] = _drift(results, reference())
    report["candidates"] = merged_candidates(r["candidates"] for r in results if "candidates" in r)
    report["notes"] += candidate_notes(report["candidates"]) if report["candidates"] else ()
    with noting(report["notes"], "The list of defaulted features"):
        report["notes"] += _notes_of_defaults(r["defaults"] for r in results if "defaults" in r)
    with noting(report["notes"], "The cost"):
        units = report["units"]
        report["cost"] = estimate(
            units=units["planned"],
            busy_seconds=units["busy_seconds"],
            memory_mb=memory_mb,
            write_units=(report["candidates"] or {}).get("write_units", 0),
        )


def _page(report: dict[str, Any]) -> bytes:
    """The page, without its charts if these cannot be drawn."""
    with noting(report["notes"], "The charts of the report's page"):
        return page(report)
    return page({**report, "histogram": None, "drift": None, "cost": None})


def _result(plan: Plan, unit: dict[str, Any], store: ObjectStore) -> dict[str, Any]:
    """Read a unit's result; a missing or inconsistent one counts as failed."""
    empty = {"scored": 0, "quarantined": 0, "fallback": 0}
    known = {name: unit[name] for name in ("unit", "first_row", "rows")}
    body = store.get(plan.folder.result(unit["unit"]))
    if body is None:
        reason = "no result was written: it was not begun, or was stopped"
        return {**empty, **known, "status": "missing", "reason": reason}
    result = {**empty, **orjson.loads(body), **known}
    ended = result["scored"] + result["quarantined"]
    if result["status"] == "done" and ended != unit["rows"]:
        reason = f"{ended} rows scored or quarantined of the {unit['rows']} planned"
        return {**result, "status": "unbalanced", "reason": reason}
    return result


def _reasons(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reasons for refused rows over all units, most frequent first."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for result in results:
        for reason in result.get("reasons", []):
            key = (reason["field"], reason["expected"])
            total = found.setdefault(key, {**reason, "rows": 0, "examples": []})
            total["rows"] += reason["rows"]
            total["examples"] = (total["examples"] + reason["examples"])[:EXAMPLES]
    return sorted(found.values(), key=lambda r: (-r["rows"], r["field"], r["expected"]))


def _drift(results: list[dict[str, Any]], reference: Reference | None) -> dict[str, Any] | None:
    """The drift of features and outputs from the model's baseline, if it has one."""
    if reference is None:
        return None
    return drift_of(reference, [(r["scored"], r["sample"]) for r in results if r.get("sample")])


def _slowest(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    timed = sorted((r for r in results if "ms" in r), key=lambda r: (-r["ms"], r["unit"]))
    return [{name: r[name] for name in ("unit", "rows", "ms")} for r in timed[:SLOWEST]]


def _manifest(plan: Plan, report: dict[str, Any]) -> dict[str, Any]:
    """The manifest that commits a run. `content` is one hash over all of its files."""
    lines = sorted(f"{file['sha256']}  {file['key']}\n" for file in report["files"])
    return {
        "run": plan.run,
        "model": plan.model,
        "version": plan.version,
        "digest": plan.digest,
        "contract": plan.contract,
        "code": plan.code,
        "started": plan.started,
        "partition": plan.partition,
        "features": asdict(plan.features) if plan.features else None,
        "input": asdict(plan.input),
        "rows": plan.rows,
        "scored": report["counts"]["scored"],
        "quarantined": report["counts"]["quarantined"],
        **({"candidates": report["candidates"]} if report["candidates"] else {}),
        **({"trial": True} if plan.trial else {}),
        "files": report["files"],
        "content": hashlib.sha256("".join(lines).encode()).hexdigest(),
    }


def _notes_of_defaults(units: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Notes on features that no row of a file has, from each unit's `Defaults.document`."""
    files: dict[str, dict[str, Any]] = {}
    for unit in units:
        for key, found in unit.items():
            known = files.setdefault(key, {"rows": 0, "absent": found["absent"]})
            kept = known["absent"].items()
            known["absent"] = {name: one for name, one in kept if name in found["absent"]}
            known["rows"] += found["rows"]
    for name in sorted({name for found in files.values() for name in found["absent"]}):
        without = {key: found for key, found in sorted(files.items()) if name in found["absent"]}
        yield _note(name, without, len(files))


def _note(name: str, without: Mapping[str, Mapping[str, Any]], files: int) -> str:
    rows = sum(found["rows"] for found in without.values())
    first = next(iter(without))
    where = f"{len(without):,} of {files:,} files (first {first})" if first else "the file"
    known = [found["absent"][name] for found in without.values()]
    near = next((one["near"] for one in known if one["near"]), None)
    hint = f" Is it {near!r}, which is there?" if near else ""
    default = known[0]["default"]
    what, scored = ("missing in", "NaN") if default is None else ("defaulted for", repr(default))
    return (
        f"{name} was {what} all {rows:,} rows of {where}, as none has a value for it: "
        f"they were scored with {scored}.{hint}"
    )
