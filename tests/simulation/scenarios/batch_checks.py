"""What must hold of batch runs, and of what they list, when nothing is left to happen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson
from tests.kits.batch import Bench
from tests.simulation.scenarios.nightly import CATALOG, UNIT_BYTES, nightly_model

from quintet.batch.plans import Plan, RunPaths, plan_from
from quintet.batch.tables import current_run
from quintet.captures.tables import read_parquet

if TYPE_CHECKING:
    from tests.simulation.scenarios.batch import Batch

__all__ = ["held"]


def held(world: Batch) -> Iterator[str]:
    """What does not hold, each as "name: what"."""
    succeeded, listing = list[Plan](), list[Plan]()
    for number, folder in world.runs.items():
        status = world.machines.last(folder).status
        plan = plan_from(world.store.objects[folder.plan])
        if world.machines.refused(folder):
            world.reach("a file was refused")
            if folder.manifest in world.store.objects:
                yield f"whole runs: {folder.run} is refused and has a manifest"
        elif isinstance(plan, Plan):
            if status != "SUCCEEDED" or folder.manifest not in world.store.objects:
                yield f"conservation: {folder.run} is {status}"
                continue
            succeeded.append(plan)
            if world.listed[number]:
                listing.append(plan)
            yield from _check_run(world, number, folder, plan)
    pointer = current_run("tiny", None, world.cells)
    newest = max((plan.started for plan in succeeded), default=None)
    if (pointer and pointer["started"]) != newest:
        yield f"pointer: it stands at {pointer and pointer['started']}, not at {newest}"
    for reader in world.readers:
        yield from reader.problems
    last = max(listing, key=lambda plan: plan.started, default=None)
    yield from world.shoppers.check(None if last is None else last.run)


def _check_run(world: Batch, number: int, folder: RunPaths, plan: Plan) -> Iterator[str]:
    """Hold a run to the same run without faults."""
    calm = Bench(CATALOG, nightly_model())
    same = calm.plan(world.files[number][0], world.files[number][1], UNIT_BYTES)
    calm.score(same)
    report = orjson.loads(world.store.objects[folder.report])
    counts = report["counts"]
    if counts["rows"] != counts["scored"] + counts["quarantined"] or counts["unaccounted"]:
        yield f"conservation: {folder.run} counts {counts}"
    for part in ("scores", "quarantine"):
        prefix = f"{folder.root}{part}/"
        mine, wanted = (
            {key: held[key] for key in held if key.startswith(prefix)}
            for held in (world.store.objects, calm.store.objects)
        )
        if mine != wanted:
            yield f"same bytes: {folder.run} has {len(mine)} {part}, and {len(wanted)} in calm"
    rows: Counter[Any] = Counter()
    for key, body in world.captures.objects.items():
        if folder.run in key:
            table = read_parquet(body)
            rows.update(zip(table["event"].to_pylist(), table["row"].to_pylist(), strict=True))
    if sum(rows.values()) != counts["rows"] or any(count > 1 for count in rows.values()):
        yield f"captures: {folder.run} has {sum(rows.values())} of {counts['rows']} rows"
