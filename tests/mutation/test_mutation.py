"""How the mutants of a module are judged, and the list of those that survive."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from tests.kits.aws import ROOT
from tests.mutation.judging import LIST, Score, Survivor, entry, listed, scored
from tests.mutation.running import Mutant
from tests.mutation.subjects import MODULES, SUBJECTS

NAME = "quintet.jobs.job"
KILLED = Mutant(NAME, "leased", "killed")
ALIVE = Mutant(NAME, "leased", "survived", "if a <= b:", "if a < b:\nit's")
ENDLESS = Mutant(NAME, "leased", "timeout", "n += 1", "n -= 1")


def key(one: Mutant) -> Survivor:
    return one.module, one.function, one.before, one.after


REASONS = {key(ALIVE): "equivalent", key(ENDLESS): "it loops for ever"}


def test_a_module_whose_survivors_are_all_listed_is_well() -> None:
    other = Mutant("quintet.other", "f", "survived", "a", "b")
    waiting = Mutant(NAME, "leased", "not checked")
    found = scored(NAME, [*[KILLED] * 18, ALIVE, ENDLESS, other, waiting], REASONS, whole=True)
    assert (found, found.percent) == (Score(NAME, 21, 20, 18, 1, 1, ()), 90.0)


def test_a_time_out_is_no_kill() -> None:
    found = scored(NAME, [*[KILLED] * 8, ENDLESS], REASONS | {}, whole=True)
    assert found.wrong[-1] == f"{NAME} scores 88.9 %, under 90 %"
    assert (found.killed, found.timeouts, found.survivors) == (8, 1, 0)


def test_survivors_that_are_not_listed_are_told_as_the_list_has_them() -> None:
    found = scored(NAME, [*[KILLED] * 99, ALIVE], {}, whole=True)
    assert found.wrong == (f"{NAME} is not listed:\n{entry(ALIVE)}",)


@pytest.mark.parametrize("end", ["no tests", "segfault", "suspicious", "timeout"])
def test_only_a_failed_test_is_a_kill(end: str) -> None:
    found = scored(NAME, [Mutant(NAME, "leased", end, "a", "b")], {}, whole=False)
    assert (found.killed, found.percent, len(found.wrong)) == (0, 0.0, 1)


def test_listed_mutants_that_survive_no_more_are_named_once_all_ran() -> None:
    ran = [*[KILLED] * 99, ALIVE]
    gone = f"{NAME} is listed, but survives no more: {key(ENDLESS)}"
    assert scored(NAME, ran, REASONS, whole=True).wrong == (gone,)
    assert scored(NAME, ran, REASONS, whole=False).wrong == ()


def test_no_mutants_are_a_failure() -> None:
    assert scored(NAME, [], {}, whole=False).wrong == (f"{NAME} has no mutants",)
    assert scored(NAME, [], {}, whole=True).percent == 0.0


def test_an_entry_is_read_with_its_reason_only() -> None:
    text = entry(ALIVE)
    with pytest.raises(ValueError, match="leased has no reason"):
        listed(text, [NAME])
    reasoned = text.replace('reason = ""', 'reason = "equivalent"')
    assert listed(reasoned, [NAME]) == {key(ALIVE): "equivalent"}
    with pytest.raises(ValueError, match="is not mutated"):
        listed(reasoned, ["quintet.other"])
    with pytest.raises(ValueError, match="is listed twice"):
        listed(reasoned + reasoned, [NAME])


def test_the_list_is_of_lines_that_the_code_has() -> None:
    for module, function, before, _ in listed(LIST.read_text(encoding="utf-8"), MODULES):
        found = importlib.import_module(module).__file__
        assert found is not None
        lines = {line.strip() for line in Path(found).read_text(encoding="utf-8").splitlines()}
        assert [line for line in before.splitlines() if line not in lines] == [], function


def test_subjects_name_modules_and_fast_tests_that_are_there() -> None:
    folders = {"modules": ROOT / "layers/quintet/quintet", "tests": ROOT / "tests/quintet"}
    for subject in SUBJECTS:
        for kind, folder in folders.items():
            names: tuple[str, ...] = getattr(subject, kind)
            files = [folder / name for name in names]
            assert files and [file for file in files if not file.is_file()] == []
        text = "".join(file.read_text(encoding="utf-8") for file in files)
        assert [name for name in subject.without if f"def {name}(" not in text] == []
