"""The order of the tests names files that are there, and parts what shares nothing."""

from __future__ import annotations

from tests.kits.aws import ROOT
from tests.kits.order import APART, FIRST, unit_of


def test_what_comes_first_is_there() -> None:
    assert [name for name in FIRST if not (ROOT / name).exists()] == []


def test_a_files_tests_stay_together_unless_they_share_nothing() -> None:
    assert unit_of("tests/cli/test_app.py::test_a[b::c]") == "tests/cli/test_app.py"
    alone = f"{APART[0]}::test_a_page[docs/a.md]"
    assert unit_of(alone) == alone
