"""The sizes of a model in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.table import Table

from quintet_cli.choosing.needs import shown
from quintet_cli.sizing.curves import Measured
from quintet_cli.sizing.months import Month
from quintet_cli.sizing.plan import Load, Size

__all__ = ["size_view"]

#: from this share of the processor on, others do not matter
QUIET = 0.9


def size_view(
    measured: Measured, load: Load, size: Size, months: Iterable[Month]
) -> Iterator[str | Table]:
    """Return the lines and tables of a size."""
    yield f"{measured.model} version {measured.version}, measured on this machine"
    yield _curves(measured)
    if measured.no_quota:
        yield f"under 1 vCPU calculated, not measured: {measured.no_quota}"
    elif measured.processor_share < QUIET:
        yield (
            f"other processes took {1 - measured.processor_share:.0%} of this machine's processor: "
            "times under 1 vCPU are too long; measure again on a quiet one"
        )
    yield (
        f"  first answer of a new process after {measured.cold_ms:,.0f} ms; it takes "
        f"{measured.memory_mb:,.0f} MB"
    )
    yield from _online(load, size)
    yield f"settings ({size.strategy.value})"
    yield from _settings(size)
    yield "dollars a month, if all of the load takes one pattern"
    yield _prices(months)


def _curves(measured: Measured) -> Table:
    table = Table("rows", "request", *(f"ms, {curve.vcpus:g} vCPU" for curve in measured.curves))
    for place, point in enumerate(measured.curves[0].points):
        cells = (
            f"{curve.points[place].ms:,.3g}" if place < len(curve.points) else "not measured"
            for curve in measured.curves
        )
        table.add_row(f"{point.rows:,}", f"{point.request_bytes:,} bytes", *cells)
    return table


def _online(load: Load, size: Size) -> Iterator[str]:
    budget = size.online.budget
    parts = ("network", "runtime", "features", "model", "serialisation")
    terms = " + ".join(f"{part} {getattr(budget, part):.2f}" for part in parts)
    mark = "kept" if budget.kept else "MISSED: fewer rows, a smaller model, or more time"
    yield f"latency of {load.rows:,} {'row' if load.rows == 1 else 'rows'}"
    yield f"  {terms} = {budget.total:.1f} ms of {budget.objective:g} ms: {mark}"
    yield (
        f"  {load.rate:,.4g} requests a second x {size.online.function_ms:.2f} ms = "
        f"{size.online.concurrency:.3g} at once, {size.online.peak_concurrency:,} at the peak"
    )


def _settings(size: Size) -> Iterator[str]:
    online, work, stream, batch = size.online, size.work, size.stream, size.batch
    yield (
        f"  predict: {online.memory_mb:,} MB ({online.vcpus:g} vCPU); pre-started environments: "
        f"{online.provisioned:,}, up to {online.most_provisioned or online.provisioned:,}"
    )
    yield (
        f"  work: {work.batch_size:,} jobs in a batch of {work.batch_ms:,.0f} ms, "
        f"{work.concurrency:,} at once"
    )
    yield f"  stream: shards: {stream.shards:,}, for {stream.because}"
    late = "" if batch.kept else ": LONGER than its window; allow more time"
    yield (
        f"  batch: {batch.rows:,} rows; units: {batch.units:,}, {batch.parallelism:,} at once; "
        f"{shown(batch.window_s)} with retries{late}"
    )


def _prices(months: Iterable[Month]) -> Table:
    table = Table("pattern", "half the volume", "likely", "twice the volume")
    for month in months:
        prices = (f"{usd:,.2f}" for usd in (month.low, month.likely, month.high))
        table.add_row(month.pattern, *prices)
    return table
