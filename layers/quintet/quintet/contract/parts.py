"""What the parts of a contract have in common, and the words that they use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Literal, TypeVar

from quintet.record import Record

DType = Literal[
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "string",
]
Rows = Literal["many", "one"]
Source = Literal["request", "store", "window"]
Empty = Literal["text", "missing"]
Missing = Literal["nan"]
Header = Literal["first", "none"]
Decimal = Literal[".", ","]
SensitiveCapture = Literal["drop", "encrypted"]
WhenStale = Literal["serve", "default", "fallback", "refuse"]
WhenGoldenDiffers = Literal["refuse", "warn"]
WhenCandidatesStale = Literal["flag", "skip"]
Meaning = Literal["label", "score", "probabilities", "value", "embedding"]
How = Literal["count", "sum", "mean", "min", "max", "stddev", "last", "distinct"]
Scalar = bool | int | float | str
#: YAML reads a plain `on` and `off` as booleans
Gate = Literal["on", "dry_run", "off"] | bool


class Part(Record):
    """A part of a contract; `model.yaml` has no fields that are not its own."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}


Of = TypeVar("Of")


class Compiled(dict[Callable[[Of], Any], Any], Generic[Of]):
    """The results of `make(of)`, keyed by `make`; each is called once."""

    def __init__(self, of: Of) -> None:
        super().__init__()
        self._of = of

    def __missing__(self, make: Callable[[Of], Any]) -> Any:
        made = self[make] = make(self._of)
        return made
