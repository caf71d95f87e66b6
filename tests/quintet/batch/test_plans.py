"""The names and paths of runs, and their documents read as they were written."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import replace

import pytest

from quintet.batch.plans import (
    FileSlice,
    Plan,
    RefusedPlan,
    RunPaths,
    Snapshot,
    Unit,
    dump,
    hashed_name,
    plan_from,
    run_context,
    run_name,
    slug,
    unit_from,
)

INPUT = Snapshot(bucket="inbox", key="tiny/a.csv", version_id="v1", etag="e", size=9)
PLAN = Plan(
    run="tiny-a-0123",
    model="tiny",
    version=3,
    digest="d",
    seal="s",
    contract="c",
    started="2026-12-01T08:00:00Z",
    code="0.1",
    input=INPUT,
    format="csv",
    gzip=False,
    delimiter=",",
    columns=("a", "b"),
    ignored=("b",),
    output="jsonl",
    rows=9,
    units=2,
    notes=("one note",),
    keep=(("a", "a_kept"),),
    constants={"day": 1},
)
REFUSED = RefusedPlan(
    run="tiny-a-0123",
    model="tiny",
    started="2026-12-01T08:00:00Z",
    code="0.1",
    bucket="inbox",
    key="tiny/a.csv",
    version_id=None,
    refusals=("no column a",),
    owner="ann",
)
UNIT = Unit(run="tiny-a-0123", model="tiny", unit=1, start=5, end=9, first_row=3, rows=4)
SLICES = tuple(FileSlice(file=n, start=0, end=9, first_row=0, rows=2) for n in (4, 5))


@pytest.mark.parametrize(
    "plan",
    [PLAN, replace(PLAN, features=replace(INPUT, key="stored/")), REFUSED],
    ids=["of a file", "with stored features", "refused"],
)
def test_a_plan_is_read_as_it_was_written(plan: Plan | RefusedPlan) -> None:
    assert plan_from(dump(plan)) == plan


def test_a_plan_of_before_passthrough_has_none() -> None:
    old = {name: value for name, value in dataclasses.asdict(PLAN).items() if name != "keep"}
    assert plan_from(dump(old)) == replace(PLAN, keep=())


def test_a_plans_documents_are_in_the_folder_of_their_content() -> None:
    """And beside the plan of a run that was planned before they were."""
    root, named = PLAN.folder.root, replace(PLAN, documents="d" * 64)
    for plan, place in ((PLAN, root), (named, f"{root}planned/{'d' * 64}/")):
        assert [plan.units_key, plan.inputs_key, plan.history_key] == [
            f"{place}{name}.json" for name in ("units", "inputs", "history")
        ]
    old = {name: value for name, value in dataclasses.asdict(PLAN).items() if name != "documents"}
    assert plan_from(dump(old)) == PLAN


def test_documents_have_sorted_names_and_end_their_last_line() -> None:
    assert dump({"b": 1, "a": [UNIT.unit]}) == b'{\n  "a": [\n    1\n  ],\n  "b": 1\n}\n'
    assert dump(FileSlice(file=1, start=2, end=3, first_row=4, rows=5)) == (
        b'{\n  "end": 3,\n  "file": 1,\n  "first_line": 1,\n  "first_row": 4,\n  "rows": 5,\n'
        b'  "start": 2\n}\n'
    )


@pytest.mark.parametrize("unit", [UNIT, replace(UNIT, slices=SLICES)])
@pytest.mark.parametrize("lenient", [False, True])
def test_a_unit_is_read_as_it_was_written(unit: Unit, lenient: bool) -> None:
    assert unit_from(dataclasses.asdict(unit), lenient=lenient) == unit


def test_a_units_unknown_fields_are_ignored_on_request_only() -> None:
    item = {**dataclasses.asdict(UNIT), "newer": 1}
    del item["slices"]
    assert unit_from(item, lenient=True) == UNIT
    with pytest.raises(TypeError, match="newer"):
        unit_from(item)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("tiny_model-2", "tiny_model-2"),
        ("a b//c", "a-b-c"),
        ("-a.", "a"),
        ("XaZ09X", "XaZ09X"),
        ("-" + "x" * 80, "x" * 80),
        ("X" * 81, "X" * 80),
        ("x" * 79 + ".yz", "x" * 79),
        ("x" * 99, "x" * 80),
        ("//", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_names_keep_the_characters_of_executions(text: str, short: str) -> None:
    assert slug(text) == short


def test_a_run_is_named_for_its_version_of_an_object() -> None:
    digest = hashlib.sha256(b"inbox\ntiny/2026/12/a.b.csv\nv1").hexdigest()[:24]
    assert run_name("inbox", "tiny/2026/12/a.b.csv", "v1") == f"tiny-a-{digest}"
    assert run_name("inbox", "tiny", "v1").startswith("tiny-unnamed-")
    assert hashed_name("m" * 30, "h" * 30, ["a", "b"]) == (
        f"{'m' * 24}-{'h' * 24}-{hashlib.sha256(b'a' + bytes([10]) + b'b').hexdigest()[:24]}"
    )


def test_a_runs_context_is_of_its_name_or_of_its_callers_trace() -> None:
    digest = hashlib.sha256(b"trace of tiny-a-0123").hexdigest()
    assert run_context("tiny-a-0123") == f"00-{digest[:32]}-{digest[32:48]}-01"
    assert run_context("tiny-a-0123", "f" * 32) == f"00-{'f' * 32}-{digest[32:48]}-01"


def test_each_document_has_its_path() -> None:
    root = "runs/my-model/r1/"
    paths = RunPaths("my model", "r1")
    assert PLAN.folder == REFUSED.folder == RunPaths("tiny", "tiny-a-0123")
    assert [paths.root, paths.plan] == [root, f"{root}plan.json"]
    assert [paths.report, paths.page, paths.manifest, paths.redrive("x")] == [
        f"{root}report.json",
        f"{root}report.html",
        f"{root}manifest.json",
        f"{root}redrives/x.json",
    ]
    assert [paths.results, paths.beats, paths.quarantines, paths.replays] == [
        f"{root}{name}/" for name in ("units", "beats", "quarantine", "replays")
    ]
    assert [paths.result(7), paths.beat(7)] == [
        f"{root}units/00007.json",
        f"{root}beats/00007.json",
    ]
    assert [paths.scores(7, "csv"), paths.scores(7, "csv", 1), paths.quarantine(7)] == [
        f"{root}scores/part-00007.csv",
        f"{root}scores/part-00007_0001.csv",
        f"{root}quarantine/part-00007.jsonl",
    ]
    assert paths.quarantine(7, 2) == f"{root}quarantine/part-00007_0002.jsonl"
