"""What a message says of a value that it refuses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest

from quintet.errors import json_kind, shown


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "null", "null"),
        (True, "a boolean", "true"),
        (7, "a number", "7"),
        (0.5, "a number", "0.5"),
        ("it's", "a string", '"it\'s"'),
        ([1, None, [False]], "an array", "[1, null, [false]]"),
        ({"ä": Decimal("1.5")}, "an object", '{"ä": "Decimal(\'1.5\')"}'),
        (Decimal("1.5"), "a Decimal", "Decimal('1.5')"),
    ],
)
def test_a_value_is_named_and_shown_as_json_does(value: Any, kind: str, text: str) -> None:
    assert (json_kind(value), shown(value)) == (kind, text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 61, "'" + "x" * 60 + "...'"),
        ([1] * 1_000_000, "[" + "1, " * 19 + "1,..."),
        (orjson.loads(b"[" * 1000 + b"]" * 1000), "[" * 60 + "..."),
    ],
)
def test_a_value_of_any_size_and_depth_is_shortened(value: Any, text: str) -> None:
    assert shown(value) == text
