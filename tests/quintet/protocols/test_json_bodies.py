"""JSON bodies of requests: a quick look at a usual one sees all that the slow look would."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.kits.packages import contract

from quintet.errors import BadInput
from quintet.protocols.http import Request, parse_json

CONTRACT = contract()
#: from 8 KiB on a body is looked at by other means
PADS = (b"", b" " * 10_000)


def outcome(body: bytes, objects: str) -> Any:
    try:
        return parse_json(CONTRACT, body, objects)
    except BadInput as error:
        return str(error)


@pytest.mark.parametrize("pad", PADS, ids=["short", "long"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"records": [{"a": 1, "b": 2}, {"a": 1.5, "b": 2}], "partial": true}',
        b'{"records": [{"a": "x:y", "b": [1, {"c": {"d": 1}}]}]}',
        b'{"inputs": [{"name": "x", "parameters": {"p": 1}}], "id": "a"}',
        b'{"inputs": [{"name": "x", "parameters": {"p": {"q": 1}}}], "parameters": 1}',
        b'{"records": ["aaaa", null, 1, [{"a": 1}]]}',
        b'{"records": {"a": 1}}',
        b'[{"a": 1}]',
        b"17",
    ],
)
def test_strict_bodies_are_read(body: bytes, pad: bytes) -> None:
    assert outcome(body + pad, "records") == json.loads(body)
    assert outcome(body + pad, "inputs") == json.loads(body)


@pytest.mark.parametrize("pad", PADS, ids=["short", "long"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"records": [{"a": 1, "a": 2}]}',
        b'{"records": [{"b": 1}, {"a": 1, "a": 2}]}',
        b'{"records": ["aaaaaaaaaaaa", {"a": 1, "a": 2}]}',
        b'{"records": [{"bbb": 1}], "a": 1, "a": 2}',
        b'{"records": [{"b": {"a": 1, "a": 2}}]}',
        b'{"records": [{"b": [{"a": 1, "a": 2}]}]}',
        b'{"records": [{"b": 1, "parameters": {"a": 1, "a": 2}}]}',
        b'{"records": [{"b": 1}], "parameters": {"a": 1, "a": 2}}',
        b'{"records": [{"b": 1, "parameters": [1]}], "parameters": {"a": 1, "a": 2}}',
    ],
)
def test_a_repeated_key_is_refused(body: bytes, pad: bytes) -> None:
    text = "body: expected each key once, got 'a' twice"
    assert outcome(body + pad, "records") == text
    assert outcome(body.replace(b"records", b"inputs") + pad, "inputs") == text
    assert outcome(body + pad, "") == text


@pytest.mark.parametrize("pad", PADS, ids=["short", "long"])
def test_integers_that_no_float_spells_out_are_refused(pad: bytes) -> None:
    body = b'{"records": [{"a": %d}]}'
    assert outcome(body % 10**20 + pad, "records") == {"records": [{"a": 1e20}]}
    assert "numbers of 1e21 and more with an exponent" in outcome(body % 10**21 + pad, "records")


@pytest.mark.parametrize("size", [9, 9_000, 90_000])
@pytest.mark.parametrize("spoilt", ["é", "!", "=", "\n", "A"])
def test_base64_is_strict_at_any_size(size: int, spoilt: str) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    text = base64.b64encode(body).decode()
    assert Request("POST", "/", raw=text, encoded=True).content(size) == body
    half = len(text) // 8 * 4
    with pytest.raises(BadInput, match=r"^body: expected bytes, or text in UTF-8"):
        wrong = text[:half] + spoilt + text[half:]
        Request("POST", "/", raw=wrong, encoded=True).content(2 * size)
