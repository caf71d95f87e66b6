"""Which reads a page causes, and with what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.kits.console import served

from quintet_cli.console.panels import PANELS
from quintet_cli.stage import Stage

LOCAL = Stage("local", "http://127.0.0.1:1", {}, "http://127.0.0.1:1")
ON_AWS = Stage("prod", "https://api", {})


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """The reads of panels, which find nothing."""
    found: list[tuple[str, dict[str, str]]] = []

    def of(name: str) -> Any:
        return lambda stage, **given: found.append((name, given))

    for name, panel in list(PANELS.items()):
        monkeypatch.setitem(PANELS, name, replace(panel, read=of(name)))
    return found


def test_panels_that_cost_are_read_less_often_on_aws(reads: list[Any]) -> None:
    costly = [name for name, panel in PANELS.items() if panel.seconds]
    assert costly == ["traffic", "slo"]
    for stage, times in ((ON_AWS, 1), (LOCAL, 3)):
        reads.clear()
        with served(stage) as console:
            for _ in range(3):
                for name in ("slo", "models"):
                    assert "read at" in console.get(f"/panels/{name}").text
        assert sorted(reads) == sorted([("models", {})] * 3 + [("slo", {})] * times)


def test_a_failed_read_of_a_panel_that_costs_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [ConnectionError("CloudWatch cannot be reached"), None]

    def read(stage: Any) -> None:
        answer = answers.pop(0)
        if answer:
            raise answer

    monkeypatch.setitem(PANELS, "slo", replace(PANELS["slo"], read=read))
    with served(ON_AWS) as console:
        assert "CloudWatch cannot be reached" in console.get("/panels/slo").text
        assert "quintet publish DIR --stage prod" in console.get("/panels/slo").text


def test_the_owner_that_was_typed_is_asked_for(reads: list[Any]) -> None:
    owner = 'arn:aws:iam::1:role/shop"><b>&'
    query = "?owner=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fshop%22%3E%3Cb%3E%26"
    with served(LOCAL) as console:
        page = console.get(f"/{query}").text
        assert 'value="arn:aws:iam::1:role/shop&#34;&gt;&lt;b&gt;&amp;"' in page
        assert (
            'hx-get="/panels/jobs?owner=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fshop%22%3E%3Cb%3E%26"'
            in page
        )
        assert 'hx-get="/panels/runs"' in page
        console.get(f"/panels/jobs{query}")
        console.get("/panels/jobs?owner=+&model=x")
    assert reads == [("jobs", {"owner": owner}), ("jobs", {})]
