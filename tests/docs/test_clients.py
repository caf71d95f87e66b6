"""docs/clients.md lists the ports of other servers' tests as they are."""

from __future__ import annotations

from docs.generate import fill
from tests.clients.ports import PAGE, sections


def test_the_tables_are_the_ports() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert fill(text, sections()) == text, "run python -m tests.clients.ports --write"
