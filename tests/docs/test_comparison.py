"""docs/comparison.md: each cell says where it is written or tested, or that nobody looked."""

from __future__ import annotations

import re
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs/comparison.md").read_text(encoding="utf-8")
_HEADS, _, *ROWS = (line.strip("|").split("|") for line in TEXT.splitlines() if line[:1] == "|")
PEERS = [head.strip() for head in _HEADS[2:]]


def test_it_compares_with_seven_on_a_dozen_subjects() -> None:
    assert PEERS == [
        "SageMaker",
        "Vertex AI",
        "KServe",
        "Seldon Core 2",
        "BentoML",
        "Ray Serve",
        "LitServe",
    ]
    assert len(ROWS) >= 12
    assert "December 2026" in TEXT


def test_each_cell_has_a_link_or_was_not_checked() -> None:
    for subject, ours, *theirs in ROWS:
        assert len(theirs) == len(PEERS), subject
        assert re.search(r"\]\((?!https)", ours), f"{subject}: Quintet's cell names no page or test"
        for peer, cell in zip(PEERS, theirs, strict=True):
            linked = re.search(r"\]\(https://[^)]+\)", cell)
            assert linked or cell.strip() == "not checked", f"{subject}, {peer}: {cell}"


def test_what_others_do_better_comes_first() -> None:
    assert TEXT.index("## Take another one if") < TEXT.index("## Take Quintet if")
