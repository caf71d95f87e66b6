"""Some of the cases of `make foreign-models`: those whose graphs need no exporter."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.foreign.cases import cases
from benchmarks.foreign.exports import by_hand, case
from benchmarks.foreign.page import page
from benchmarks.foreign.paths import PATHS, Paths
from benchmarks.foreign.serving import Found, serve
from tests.kits.local_aws import LocalAws

from quintet_cli.stage import Stage

CASES = ("constant-scalar", "custom-operator", "detections", "tf-names")


def test_foreign_graphs_answer_as_onnxruntime_by_every_path(
    local_aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case, "OUT", tmp_path)
    by_hand.main()
    stage = Stage("local", local_aws.api_url, local_aws.outputs, local_aws.endpoint_url)
    served = serve(cases(tmp_path, CASES), Paths(stage, tmp_path), tmp_path / "packages")
    found = {one.name: one for one in served}
    exact = dict.fromkeys(PATHS, 0.0)
    assert {name: one.paths for name, one in found.items() if one.served} == {
        "constant-scalar": exact,
        "detections": exact,
        "tf-names": exact,
    }
    assert found["custom-operator"].refused.endswith(
        "expected only standard operators, got ai.mine.Mine"
    )


def test_the_page_counts_what_was_served_and_says_why_a_path_was_not_tried() -> None:
    exact: dict[str, float | str] = dict.fromkeys(PATHS, 0.0)
    findings = [
        Found("plain", "torch", "export", paths=exact),
        Found("mended", "torch", "export", mends=["`rows: one`"], paths={**exact, "job": 3e-8}),
        Found("large", "wheel", "model", paths={**exact, "stream": "- too large"}),
        Found("wrong", "wheel", "model", paths={**exact, "batch": "differs by 1"}),
        Found("refused", "by hand", "export", refused="model.onnx:\n  a | b"),
    ]
    text = page(findings, 12.3)
    assert "| Models from packages | 2 | 1 | 0 | 0 | 50 % |" in text
    assert "| Exports | 3 | 1 | 1 | 1 | 67 % |" in text
    assert "| mended | torch | `rows: one` | = | = | = | 3e-08 | = | = |" in text
    assert "| large | wheel |  | = | = | = | = | = | - (1) |" in text
    assert "| wrong | wheel |  | = | = | = | = | failed | = |" in text
    assert "- (1) too large.\n" in text
    assert text.endswith("| refused | by hand | model.onnx: a \\| b |\n")
