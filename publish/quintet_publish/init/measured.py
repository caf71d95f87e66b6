"""The service level and the limits that a graph's measured times and sizes allow."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx

from quintet.onnx_model import OnnxModel
from quintet.serving.golden import score_columns
from quintet.serving.model_cache import memory_needed
from quintet.settings import PredictSettings
from quintet_publish.full_request import Recorded
from quintet_publish.init.guess import Guess
from quintet_publish.model_yaml import read_contract

__all__ = ["measured", "memory_guesses"]

RUNS = 30
SECONDS = 3.0
TIMES = 3
#: what a request takes around a run of the graph
LEAST_MS = 50.0
MOST_MS = 29_000.0
ROWS = 1000
BODY = 4_500_000
#: the seconds that a request of the most rows may take
REQUEST_SECONDS = 5.0
BATCH = 20


def measured(
    contract: dict[str, Any],
    model: onnx.ModelProto,
    columns: Mapping[str, list[Any]],
    clock: Callable[[], float],
) -> list[Guess]:
    """Time runs of one row and of several; `clock` gives seconds.

    Raises:
        ModelFailure: the graph failed.
    """
    checked = read_contract(json.dumps(contract).encode())
    runs = Recorded(OnnxModel(checked, model.SerializeToString()))
    score_columns(runs, {name: values[:1] for name, values in columns.items()})
    feeds, wanted = runs.feeds, list(runs.results)
    times: list[float] = []
    start = clock()
    while len(times) < RUNS and (len(times) < 3 or clock() - start < SECONDS):
        began = clock()
        runs.run(wanted, feeds)
        times.append(1000 * (clock() - began))
    p95 = float(np.percentile(times, 95))
    level = min(max(LEAST_MS, _two_digits(TIMES * p95)), MOST_MS)
    reason = f"3 times the p95 of a run of one row here, {p95:.3g} ms"
    if level == LEAST_MS:
        reason += f", and at least {LEAST_MS:g} for the request around it"
    guesses = [Guess.of(("slo", "p95_ms"), level, reason)]
    head = {name: values[:BATCH] for name, values in columns.items()}
    began = clock()
    score_columns(runs, head)
    each = max(clock() - began, 1e-6) / len(next(iter(head.values())))
    first = json.dumps({name: values[0] for name, values in columns.items()})
    values = sum(math.prod(f.largest) for f in checked.requested)
    largest = max(len(first), 8 * values)
    allowed = level / 1000 if checked.rows == "one" else REQUEST_SECONDS
    rows = max(1, min(ROWS, BODY // largest, int(allowed / each / (2 if checked.grouped else 1))))
    if rows < ROWS:
        why = f"a row takes about {1000 * each:.3g} ms and {largest:,} bytes"
        guesses.append(Guess.of(("limits", "rows"), rows, why))
    return guesses


def memory_guesses(size: int) -> list[Guess]:
    """What a graph of `size` bytes needs of a stage, if that is more than the default."""
    needed, allowed = math.ceil(memory_needed(size) / 1e6), PredictSettings.model_memory_mb
    if needed <= allowed:
        return []
    reason = (
        f"a stage allows its models {allowed} MB: deploy it with ModelMemoryMb={needed}; here, "
        f"`quintet up --detach --parameter ModelMemoryMb={needed}`"
    )
    return [Guess("memory", f"about {needed} MB", reason)]


def _two_digits(value: float) -> float:
    step = 10.0 ** (math.floor(math.log10(max(value, 1e-3))) - 1)
    return float(f"{math.ceil(value / step) * step:.6g}")
