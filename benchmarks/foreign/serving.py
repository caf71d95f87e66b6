"""Publish each case, score its rows by every path, and compare with onnxruntime."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.foreign.cases import Attempt, Case, Rows
from benchmarks.foreign.paths import Paths, Unsuited, Wrong

from quintet_cli.commands.publish import publisher_of
from quintet_publish.problems import PackageError
from quintet_publish.release import Release, prepare

__all__ = ["Found", "serve"]

#: what a message proposes: a tolerance, or how many rows fit a request
TOLERANCE = re.compile(r"tolerance[^0-9]{1,60}?([0-9][0-9.]*(?:e-?[0-9]+)?)")
SLOW = re.compile(r"([0-9,.]+) s in all; .*raise slo.p95_ms")
FITS = re.compile(r"([0-9,]+) rows fit")
ATTEMPTS = 5


@dataclass
class Found:
    """What became of a case: each path's largest difference from onnxruntime, or why not.

    `mends` are what messages proposed and was done; `refused` is the last message.
    """

    name: str
    exporter: str
    kind: str
    mends: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    refused: str = ""
    paths: dict[str, float | str] = field(default_factory=dict)

    @property
    def served(self) -> bool:
        """Whether it is published, and every path that suits it answers as onnxruntime does."""
        return not self.refused and all(
            isinstance(value, float) or value.startswith("-") for value in self.paths.values()
        )


def serve(cases: list[Case], paths: Paths, scratch: Path) -> Iterator[Found]:
    """Each case in turn; streamed records are read when all are sent."""
    sent: list[tuple[Found, Attempt, list[str]]] = []
    for case in cases:
        found = Found(case.name, case.exporter, case.kind)
        try:
            attempt = _published(case, found, paths, scratch)
        except Exception as error:
            found.paths["publish"] = f"{type(error).__name__}: {error}"[:300]
            yield found
            continue
        if attempt is not None:
            for name in ("records", "oip_json", "oip_binary", "job", "batch"):
                _score(found, name, attempt, lambda n=name, a=attempt: getattr(paths, n)(a))
            try:
                sent.append((found, attempt, paths.send(attempt)))
            except Unsuited as error:
                found.paths["stream"] = f"- {error}"
        if attempt is None or "stream" in found.paths:
            yield found
    for found, attempt, sequences in sent:
        _score(found, "stream", attempt, lambda a=attempt, s=sequences: paths.streamed(a, s))
        yield found


def _score(found: Found, name: str, attempt: Attempt, score: Any) -> None:
    try:
        rows = score()
        apart = min(_apart(rows, attempt.together), _apart(rows, attempt.alone))
        found.paths[name] = apart if apart <= attempt.tolerance else f"differs by {apart:g}"
    except Unsuited as error:
        found.paths[name] = f"- {error}"
    except Wrong as error:
        found.paths[name] = str(error)
    except Exception as error:  # a case's failure is a finding, not the end of the table
        found.paths[name] = f"{type(error).__name__}: {error}"[:300]


def _apart(rows: Rows, expected: Rows) -> float:
    """The largest difference, as for a tolerance; infinite for other shapes, types or texts."""
    worst = 0.0
    for row, wanted in zip(rows, expected, strict=True):
        for name, value in wanted.items():
            have = row[name]
            if have.shape != value.shape:
                return float("inf")
            if value.dtype.kind in "OUb":
                worst = max(worst, 0.0 if have.tolist() == value.tolist() else float("inf"))
            elif have.size and not np.array_equal(have, value, equal_nan=value.dtype.kind == "f"):
                wide = value.astype(np.float64)
                apart = np.abs(have.astype(np.float64) - wide) / np.maximum(1.0, np.abs(wide))
                worst = max(worst, float(apart.max()))
    return worst


def _published(case: Case, found: Found, paths: Paths, scratch: Path) -> Attempt | None:
    attempt: Attempt | None = case.first
    for _ in range(ATTEMPTS):
        assert attempt is not None
        try:
            release = _prepared(attempt, scratch / case.name)
        except (PackageError, ValueError) as error:
            found.messages.append(str(error)[:600])
            attempt = _mended(case, found, attempt, str(error))
            if attempt is None:
                found.refused = found.messages[-1]
                return None
        else:
            publisher = publisher_of(paths.stage)
            publisher.publish(release, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
            return attempt
    found.refused = found.messages[-1]
    return None


def _mended(case: Case, found: Found, attempt: Attempt, message: str) -> Attempt | None:
    """What the message proposes; None if it proposes nothing."""
    said = case.says.lower() in message.lower()
    if case.mended is not None and case.mend not in found.mends and said:
        found.mends.append(case.mend)
        return case.mended
    if slow := SLOW.search(message):
        p95 = 2_000 * float(slow[1].replace(",", ""))
        found.mends.append(f"`slo.p95_ms: {p95:.0f}`")
        return attempt.with_fields(slo={"p95_ms": p95})
    if fits := FITS.search(message):
        rows = int(fits[1].replace(",", ""))
        found.mends.append(f"`limits.rows: {rows}`")
        return attempt.with_fields(limits={"rows": rows})
    if (proposed := TOLERANCE.findall(message)) and float(proposed[-1]) > attempt.tolerance:
        found.mends.append(f"`tolerance: {proposed[-1]}`")
        return replace(attempt, tolerance=float(proposed[-1]))
    return None


def _prepared(attempt: Attempt, folder: Path) -> Release:
    folder.mkdir(parents=True, exist_ok=True)
    contract = attempt.contract()
    (folder / "model.yaml").write_text(json.dumps(contract, indent=1), encoding="utf-8")
    (folder / "model.onnx").write_bytes(attempt.graph)
    (folder / "golden.json").write_text(json.dumps(attempt.golden()), encoding="utf-8")
    return prepare(folder, lambda *_: None)


def to_json(found: list[Found]) -> str:
    """All findings as JSON."""
    return json.dumps([asdict(one) for one in found], indent=1)


def from_json(text: str) -> list[Found]:
    """Read what `to_json` wrote."""
    with suppress(ValueError):
        return [Found(**one) for one in json.loads(text)]
    return []
