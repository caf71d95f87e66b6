"""The latest scores of a run, read back from the files that it wrote."""

from __future__ import annotations

from dataclasses import replace

import orjson
from tests.kits.batch import Bench
from tests.kits.shapes import TOKENS

from quintet.batch.planning import MemoryCatalog, Pinned
from quintet.batch.plans import Plan
from quintet.onnx_model import OnnxModel
from quintet_cli.score_loader import latest_of


def test_lists_are_read_back_as_they_were_answered() -> None:
    contract = replace(TOKENS.contract, entity="user")
    catalog = MemoryCatalog(Pinned(1, "d" * 64, "s" * 64, contract))
    run = Bench(catalog, OnnxModel(contract, TOKENS.graph, digest="d" * 64))
    rows = [{"user": f"u{number % 3}", **row} for number, row in enumerate(TOKENS.rows)]
    plan = run.plan("tokens/a.jsonl", b"".join(orjson.dumps(row) + b"\n" for row in rows))
    run.score(plan)
    assert isinstance(plan, Plan)
    parts = [run.store.objects[key] for key in run.store.keys(f"{plan.folder.root}scores/")]
    (found,) = latest_of(plan, contract, parts)
    assert {one.entity: one.outputs for one in found} == {
        "u0": {"kept": [], "total": 0},
        "u1": {"kept": [0, 0, 0, 0, 0, 6], "total": 6},
        "u2": {"kept": [1, 2, 3], "total": 6},
    }
