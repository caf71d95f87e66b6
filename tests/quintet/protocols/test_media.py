"""What Accept headers mean (RFC 9110, 12.5)."""

from __future__ import annotations

import pytest

from quintet.protocols.media import preferred

JSON, CSV, LINES = "application/json", "text/csv", "application/x-ndjson"
OFFERS = (JSON, CSV, LINES)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", JSON),
        ("application/json;q=0.5, text/csv", CSV),
        ("application/json;q=0.5, text/csv;q=0.4", JSON),
        ("text/csv, application/json", CSV),  # of one quality, the first
        ("*/*;q=0.1, application/x-ndjson", LINES),
        ("*/*, text/csv", JSON),
        ("application/json;q=0, */*", CSV),
        ("text/csv;q=0, text/*", None),
        ("text/csv;q=0, text/*, application/x-ndjson;q=0.001", LINES),
        ("TEXT/CSV ; charset=utf-8 ; Q=1", CSV),
        ("text/csv;q=high", CSV),
        ("text/csv;q=7", CSV),
        (", ,text/csv,", CSV),
        ("image/png", None),
        ("image/*", None),
        ("*/*;q=0", None),
    ],
)
def test_the_type_of_the_highest_quality_answers(header: str, found: str | None) -> None:
    assert preferred(header, OFFERS) == found
