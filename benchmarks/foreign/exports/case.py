"""What an export leaves in its folder: the graph, some rows, and what its author knows of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["OUT", "Hints", "save"]

OUT = Path("build/foreign/cases")


@dataclass
class Hints:
    """What a contract needs that the graph does not declare.

    `axes` are the positions of the rows by tensor (0 by default; None: no such axis), `most` the
    largest sizes of free axes by tensor, `outputs` those to serve, `fields` are further fields of
    the contract, `missing` says that NaN is a missing value.
    """

    axes: dict[str, int | None] = field(default_factory=dict)
    most: dict[str, list[int]] = field(default_factory=dict)
    outputs: list[str] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    missing: bool = False


def save(
    name: str,
    exporter: str,
    graph: bytes | Path,
    rows: Sequence[Mapping[str, Any]],
    hints: Hints | None = None,
    *,
    kind: str = "export",
    says: str = "",
    mend: str = "",
    mended: bytes | Hints | None = None,
) -> None:
    """Write a case below `OUT`.

    `rows` hold one row each, without the axis of the rows: arrays by input. If the graph is refused
    as it is, the message must say `says`; `mend` is what to do then, `mended` the other graph or
    the other hints.
    """
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(graph if isinstance(graph, bytes) else graph.read_bytes())
    if isinstance(mended, bytes):
        (folder / "mended.onnx").write_bytes(mended)
    known = hints or Hints()
    again = mended if isinstance(mended, Hints) else known
    case = {
        "exporter": exporter,
        "kind": kind,
        "hints": asdict(known),
        "says": says,
        "mend": mend,
        "mended": asdict(again) if mended is not None else None,
    }
    (folder / "case.json").write_text(json.dumps(case, indent=1), encoding="utf-8")
    arrays: dict[str, Any] = {}
    for number, row in enumerate(rows):
        for key, value in row.items():
            array = np.asarray(value)
            arrays[f"{number}/{key}"] = array.astype(np.str_) if array.dtype.kind == "O" else array
    np.savez(folder / "rows.npz", **arrays)
    print(f"  {name}", flush=True)
