"""Writes docs/foreign-models.md from the findings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.foreign.paths import PATHS
from benchmarks.foreign.serving import Found

__all__ = ["PAGE", "page"]

PAGE = Path("docs/foreign-models.md")

HEAD = """\
# Models that others made

`make foreign-models` serves models and exports that were not made for Quintet, by every path, and
compares each answer with onnxruntime's own. It took {minutes} minutes on two busy cores, the
installation aside. The models are in Python packages (nothing of a package is run); the exports
are made in an environment of its own with the versions that
[requirements.txt](../benchmarks/foreign/requirements.txt) pins. Each case is published with the
contract that its graph suggests, and with what no graph says: the largest size of a free axis,
the value of a constant, that NaN is a missing value. If that is refused, the refusal must say
what to do, and the script does just that. `make test` serves four of the cases.

| | Tried | Served as they are | After a mend that the message named | Refused | Served |
|---|---|---|---|---|---|
{figures}

The rows of a case are scored as records, with the Open Inference Protocol as JSON and in binary,
as a job, as a dropped Parquet file, and on the stream. `=` says that every answer is
onnxruntime's, bit for bit; a number is the largest difference, from float arithmetic in another
order (other rows in the same run). `-` says that the path does not suit the rows: see below the
tables.
"""

COLUMNS = ("Records", "OIP JSON", "OIP binary", "Job", "Batch", "Stream")


def page(findings: Sequence[Found], minutes: float) -> str:
    """The page's text."""
    kinds = {
        kind: sorted((f for f in findings if f.kind == kind), key=lambda found: found.name)
        for kind in ("model", "export")
    }
    figures = "\n".join(
        _figures(name, kinds[kind])
        for kind, name in (("model", "Models from packages"), ("export", "Exports"))
    )
    text = HEAD.format(minutes=f"{minutes:.0f}", figures=figures)
    notes: dict[str, str] = {}
    for kind, title in (("model", "Models from packages"), ("export", "Exports")):
        text += f"\n## {title}\n\n| Case | From | Mend | {' | '.join(COLUMNS)} |\n"
        text += f"|{'---|' * (3 + len(COLUMNS))}\n"
        for found in kinds[kind]:
            if not found.refused:
                text += _row(found, notes)
    if notes:
        text += "\n## Paths that do not suit\n\n"
        text += "".join(f"- {mark} {why}.\n" for why, mark in notes.items())
    if refused := [found for found in findings if found.refused]:
        text += "\n## Refused\n\n| Case | From | Message |\n|---|---|---|\n"
        for found in refused:
            message = " ".join(found.refused.split()).replace("|", "\\|")
            text += f"| {found.name} | {found.exporter} | {message} |\n"
    return text


def _figures(name: str, found: Sequence[Found]) -> str:
    served = [one for one in found if one.served]
    plain = [one for one in served if not one.mends]
    share = 100 * len(served) / len(found) if found else 0
    refused = sum(bool(one.refused) for one in found)
    cells = (len(found), len(plain), len(served) - len(plain), refused, f"{share:.0f} %")
    return f"| {name} | {' | '.join(map(str, cells))} |"


def _row(found: Found, notes: dict[str, str]) -> str:
    cells = []
    for path in PATHS:
        value = found.paths.get(path, "not tried")
        if isinstance(value, str) and value.startswith("- "):
            mark = notes.setdefault(value[2:], f"({len(notes) + 1})")
            cells.append(f"- {mark}")
        elif isinstance(value, str):
            cells.append("failed")
        else:
            cells.append("=" if value == 0 else f"{value:.0e}")
    mends = "; ".join(found.mends)
    return f"| {found.name} | {found.exporter} | {mends} | {' | '.join(cells)} |\n"
