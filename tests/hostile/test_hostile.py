"""A few hostile packages; `python -m tests.hostile` is the campaign."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.hostile import campaign
from tests.hostile.campaign import examine
from tests.hostile.cases import KINDS, Case, Kind, drawn, write
from tests.hostile.files import FILES
from tests.hostile.graphs import GRAPHS
from tests.hostile.known import KNOWN
from tests.kits.aws import ROOT
from tests.kits.packages import package

from quintet_publish.problems import PackageError
from quintet_publish.read_check import read_check

#: kinds that no test of tests/security holds
QUICK = ("valid", "cycles", "recursive functions", "weights of NaN", "YAML aliases")


@pytest.mark.parametrize("kind", QUICK)
def test_a_hostile_package_is_refused_or_contained(kind: str) -> None:
    found = examine(Case(kind, "quick"))
    assert found.wrong == "", found.reason


@pytest.mark.parametrize("defect", KNOWN)
def test_a_published_defect_is_refused_or_contained(defect: str) -> None:
    found = examine(Case(defect, "quick"))
    assert found.wrong == "", found.reason
    assert found.end != "accepted"


def test_the_page_names_every_published_defect_and_no_other() -> None:
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    section = text.partition("## Published defects")[2].partition("\n## ")[0]
    issues = re.findall(r"\b\d{5}\b", re.sub(r"CVE-\d+-\d+", "", section))
    named = {*re.findall(r"CVE-\d+-\d+", section), *(f"onnxruntime #{one}" for one in issues)}
    assert named == set(KNOWN)


def test_a_campaign_draws_every_kind_and_the_same_from_a_seed(tmp_path: Path) -> None:
    cases = drawn(300, 1)
    assert {case.kind for case in cases} == {"valid", *GRAPHS, *FILES, *KNOWN}
    assert len(cases) == 300 + len(KNOWN)
    for name in ("spoilt bytes", "golden JSON"):
        made = []
        for place in (tmp_path / name / "one", tmp_path / name / "two"):
            place.mkdir(parents=True)
            folder = write(Case(name, "7"), place)
            made.append({path.name: path.read_bytes() for path in folder.iterdir()})
        assert made[0] == made[1]


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", extra="training_data: data.csv\n")
    (folder / "data.csv").write_text("a,a,b\n1,2,3\n")
    with pytest.raises(PackageError) as caught:
        read_check(folder)
    assert str(caught.value) == "data.csv: line 1: expected the column a once, got it again"


def spoilt(monkeypatch: pytest.MonkeyPatch, kind: Kind) -> str:
    """What is wrong with a case of a kind that is made up."""
    monkeypatch.setitem(KINDS, "made up", kind)
    return examine(Case("made up", "1")).wrong


def test_what_is_accepted_or_refused_for_another_reason_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    valid, cyclic = KINDS["valid"], KINDS["truncated"]
    assert spoilt(monkeypatch, replace(valid, reason="anything")) == "it was accepted"
    wrong = spoilt(monkeypatch, replace(cyclic, reason="of another kind"))
    assert wrong == "the reason does not say 'of another kind'"
    assert spoilt(monkeypatch, replace(cyclic, reason=None)) == "a valid package was refused"


def test_an_error_of_ours_a_leak_and_a_written_file_are_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(folder: Path) -> None:
        raise KeyError("defect")

    def leaking(folder: Path) -> None:
        raise PackageError.of("model.onnx", (folder.parent / "secret.txt").read_text())

    def writing(folder: Path) -> None:
        (folder.parent / "secret.txt").write_text("overwritten")

    found = {}
    for check in (broken, leaking, writing):
        monkeypatch.setattr(campaign, "_check", check)
        kind = Kind(KINDS["valid"].spoil, None if check is writing else "model")
        found[check.__name__] = spoilt(monkeypatch, kind)
    assert found == {
        "broken": "the publisher would have ended",
        "leaking": "the reason holds 'planted-secret-8f1c'",
        "writing": "files were changed",
    }
