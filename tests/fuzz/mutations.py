"""What a seed makes of a good input: other values, other structure, other bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

__all__ = ["CANARY", "mutated_bytes", "mutated_json", "mutated_text"]

#: stands in texts of inputs; no log line may have it
CANARY = "canary-7f3a91"

#: values of JSON that readers stumble on; a piece of text is written as it stands
_ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 1e308),
    *("", CANARY, "NaN", "1e999", "true", "\x00", "é\u0301", "\U0001f600", "a" * 5000, "../../etc"),
    *([], {}, [[]], [None], {"": None}, [[1, 2], [3]], {"a": {"b": {"c": []}}}, [0] * 1000),
]
_RAW = [
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000, "1." + "1" * 400, "0x10"),
    *("[" * 2000, '{"a":' * 600, '"\\ud800"', '"\\u0000"', "'a'", "nul", "//", "1e", "-", "01"),
]
_PIECES = [
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"\n\n", b'"', b"'", b",", b";", b"\t", b"{"),
    *(b"]", b"NaN", b"1e999", b"-", b"%", b"%00", b"\xc3\x28", b"\xed\xa0\x80", b"9" * 400),
    *(b"\x1f\x8b\x08", b"PAR1", b"\x93NUMPY", CANARY.encode(), b"!!python/object:os.system"),
    *(b"&a [*a, *a]", b"<<: *a", b"\\u0000", b"${x}", b"{{7*7}}", b"= cmd|' /C calc'!A0"),
]
_MOST_BYTES = 200_000
#: how many changes an input has: few, so that many inputs come far
_CHANGES = (1, 1, 1, 2, 2, 3, 4)


def mutated_json(random: Random, value: Any) -> bytes:
    """A JSON text that is one to four changes away from a value; sometimes no JSON any more."""
    marker = "@raw@"
    pieces: list[str] = []

    def odd() -> Any:
        if random.random() < 0.25:
            pieces.append(random.choice(_RAW))
            return marker
        return random.choice(_ODD)

    changed = json.loads(json.dumps(value))
    for _ in range(random.choice(_CHANGES)):
        changed = _changed(random, changed, odd)
    text = json.dumps(changed, ensure_ascii=random.random() < 0.5)
    for piece in pieces:
        text = text.replace(f'"{marker}"', piece, 1)
    body = text.encode("utf-8", "surrogatepass")
    return mutated_bytes(random, body) if random.random() < 0.15 else body


def _changed(random: Random, value: Any, odd: Callable[[], Any]) -> Any:
    """A value with one change somewhere in it: here, or in one of its members."""
    if not isinstance(value, dict | list) or not value or random.random() < 0.15:
        return odd()
    if isinstance(value, list):
        return _changed_list(random, value, odd)
    found = dict(value)
    key = random.choice(list(found))
    match random.randrange(6):
        case 0:
            del found[key]
        case 1:
            found[key + random.choice(["", "s", "_", " ", "\u200b", CANARY])] = found.pop(key)
        case 2:
            found[random.choice(["id", "parameters", "x", "__proto__", "", CANARY])] = odd()
        case 3:
            found = dict(reversed(found.items()))
        case _:
            found[key] = _changed(random, found[key], odd)
    return found


def _changed_list(random: Random, value: list[Any], odd: Callable[[], Any]) -> list[Any]:
    found = list(value)
    place = random.randrange(len(found))
    match random.randrange(6):
        case 0:
            del found[place]
        case 1:
            found.insert(place, odd())
        case 2:
            found = found * random.choice([2, 3, 20])
        case 3:
            found[place] = [found[place]]
        case _:
            found[place] = _changed(random, found[place], odd)
    return found


def mutated_text(random: Random, text: str) -> bytes:
    """A text that is one to four changes away: of lines, of words, or of bytes."""
    lines = text.splitlines(keepends=True)
    for _ in range(random.choice(_CHANGES)):
        if not lines:
            break
        place = random.randrange(len(lines))
        match random.randrange(6):
            case 0:
                del lines[place]
            case 1:
                lines.insert(place, random.choice(lines))
            case 2:
                lines[place] = random.choice([" ", "  ", "\t"]) + lines[place]
            case 3:
                word = str(random.choice([*_ODD[:24], *_RAW]))
                words = lines[place].split(" ")
                words[random.randrange(len(words))] = word
                lines[place] = " ".join(words)
            case _:
                mark = random.choice([",", ":", "[", "]", '"', "-", "#", ";", "{", "|", ">"])
                at = random.randrange(len(lines[place]) + 1)
                lines[place] = lines[place][:at] + mark + lines[place][at:]
    body = "".join(lines).encode("utf-8", "surrogatepass")
    return mutated_bytes(random, body) if random.random() < 0.4 else body


def mutated_bytes(random: Random, body: bytes) -> bytes:
    """Bytes that are one to four changes away: flipped, cut, repeated, moved or put in."""
    found = bytearray(body)
    for _ in range(random.choice(_CHANGES)):
        size = len(found)
        start = random.randrange(size + 1)
        stop = min(size, start + random.choice([1, 2, 4, 8, 64]))
        match random.randrange(7):
            case 0 if size:
                found[min(start, size - 1)] ^= 1 << random.randrange(8)
            case 1:
                del found[start:stop]
            case 2:
                found[start:start] = random.choice(_PIECES)
            case 3:
                del found[start:]
            case 4:
                found[start:start] = found[start:stop] * random.choice([1, 2, 50])
            case 5:
                found[start:stop] = random.randbytes(stop - start)
            case _:
                found[start:stop] = bytes([random.choice([0, 255, 127, 128])]) * (stop - start)
    return bytes(found[:_MOST_BYTES])
