"""The demo's online act: real orders over HTTP, one connection, each request timed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import urllib3

__all__ = ["Served", "predict", "read_records", "serve_orders"]


@dataclass(slots=True)
class Served:
    """The result of the act: `milliseconds` per request, the first answers, and counts."""

    milliseconds: list[float] = field(default_factory=list)
    samples: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    fallback: int = 0
    refused: int = 0

    def percentile(self, share: float) -> float:
        """Return a percentile of the requests' times in milliseconds."""
        return float(np.percentile(self.milliseconds, share))


def read_records(path: Path, most: int) -> list[dict[str, Any]]:
    """Return the first records of a JSONL file."""
    with path.open() as lines:
        return [json.loads(line) for line, _ in zip(lines, range(most), strict=False)]


def predict(
    pool: urllib3.PoolManager, api_url: str, model: str, *records: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Send records to POST /models/{model}/predict; return the status and the response."""
    response = pool.request(
        "POST", f"{api_url}/models/{model}/predict", json={"records": records}, timeout=30
    )
    return response.status, response.json()


def serve_orders(
    api_url: str,
    model: str,
    records: Iterable[dict[str, Any]],
    samples: int,
    tick: Callable[[], None],
) -> Served:
    """Score records one request at a time, as one caller would."""
    served = Served()
    with urllib3.PoolManager(retries=False) as pool:
        for record in records:
            start = time.perf_counter()
            status, answer = predict(pool, api_url, model, record)
            served.milliseconds.append((time.perf_counter() - start) * 1000)
            if status != 200:
                served.refused += 1
            else:
                prediction = answer["predictions"][0]
                served.fallback += bool(prediction.get("fallback"))
                if len(served.samples) < samples:
                    served.samples.append((record, prediction))
            tick()
    return served
