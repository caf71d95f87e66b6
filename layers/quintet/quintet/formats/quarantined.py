"""A refused row or record, complete, as a JSON line: the common form of all quarantines."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from quintet.errors import Refusal

__all__ = ["Original", "Quarantined", "text_of"]

#: a row or record as received: its bytes, or the values of a Parquet row by column
Original = bytes | Mapping[str, Any]

#: fields of a line that are not part of the place
_CONTENT = ("text", "encoding", "record", "data", "reasons")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A refused row or record: its place, the reasons, and the original.

    `place` holds the line's own fields: `row` (and `file`) in a batch run; `shard`, `sequence`,
    `row` and more in a stream. `original` is None if an earlier line of the same stream record has
    the bytes.
    """

    place: Mapping[str, Any]
    reasons: Sequence[Refusal]
    original: Original | None

    def to_line(self, *, binary: bool = False) -> bytes:
        """The JSON line. With `binary` the bytes are `data` in Base64, otherwise `text`."""
        reasons = [{"field": r.field, "expected": r.expected, "got": r.got} for r in self.reasons]
        content: dict[str, Any]
        if isinstance(self.original, Mapping):
            content = {"record": self.original, "reasons": reasons}
        elif binary:
            data = None if self.original is None else base64.b64encode(self.original).decode()
            content = {"reasons": reasons, "data": data}
        else:
            content = {**_as_text(self.original or b""), "reasons": reasons}
        options = orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
        try:
            return orjson.dumps({**self.place, **content}, default=str, option=options)
        except TypeError:  # a value that JSON cannot represent, such as a map whose keys are lists
            content["record"] = {name: ascii(value) for name, value in content["record"].items()}
            return orjson.dumps({**self.place, **content}, option=options)

    @classmethod
    def from_line(cls, line: bytes) -> Quarantined:
        """Parse the output of `to_line`, in either form."""
        fields = orjson.loads(line)
        reasons = [Refusal(None, r["field"], r["expected"], r["got"]) for r in fields["reasons"]]
        original: Original | None = fields.get("record")
        if "text" in fields:
            original = fields["text"].encode(fields.get("encoding", "utf-8"))
        elif fields.get("data") is not None:
            original = base64.b64decode(fields["data"])
        place = {name: value for name, value in fields.items() if name not in _CONTENT}
        return cls(place, reasons, original)


def text_of(data: bytes) -> str:
    """Bytes as text; what is not UTF-8 becomes one character for each byte."""
    text: str = _as_text(data)["text"]
    return text


def _as_text(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"text": data.decode("latin-1"), "encoding": "latin-1"}
