"""The rules of a contract's `stream`, and of the features from its windows. Pure."""

from __future__ import annotations

from quintet.columns import numpy_dtype
from quintet.contract import Aggregate, Contract, Stream
from quintet_publish.rules.terms import FIELD, RESERVED, Found, Path, under

__all__ = ["check_stream"]

MAX_AGGREGATES = 50  # one update of the feature store sets them all
MAX_WINDOW = 86_400
MAX_LATENESS = 604_800  # window parts are kept for seven days
#: dtypes that hold epoch seconds to the second, or a text
TIMES = ("int32", "int64", "uint32", "uint64", "float64", "string")
TEXTS = ("last", "distinct")


def check_stream(contract: Contract, stream: Stream) -> Found:
    """List where the stream contradicts itself or the features, and what was expected."""
    if contract.entity is None:
        yield (), "needs the contract's `entity`: windows are gathered by it"
    if not 1 <= len(stream.aggregates) <= MAX_AGGREGATES:
        got = len(stream.aggregates)
        yield ("aggregates",), f"expected from 1 to {MAX_AGGREGATES}, got {got}"
    names = [aggregate.name for aggregate in stream.aggregates]
    for position, aggregate in enumerate(stream.aggregates):
        here = ("aggregates", position)
        if aggregate.name in names[:position]:
            yield (*here, "name"), f"{aggregate.name} is listed twice"
        yield from under(here, _name(contract, aggregate))
        yield from under(here, _field(contract, aggregate))
    yield from _time(contract, stream)


def _name(contract: Contract, aggregate: Aggregate) -> Found:
    """Check an aggregate's name, its key in the store; a `window` feature reads it by that name."""
    name = aggregate.name
    if not FIELD.fullmatch(name):
        yield ("name",), "expected a letter or _, then at most 62 letters, digits, _ . or -"
    if name in RESERVED:
        yield ("name",), f"expected a name other than {' and '.join(RESERVED)}"
    if name == contract.entity:
        yield ("name",), "is also the name of the entity key, which it cannot be"
    feature = contract.by_name.get(name)
    if feature is None:
        return
    if feature.source != "window":
        yield (
            ("name",),
            f"is also the name of a feature of the {feature.source}; a feature that reads it has "
            "the source window",
        )
        return
    text = feature.dtype == "string"
    of = contract.by_name.get(aggregate.of or "")
    gives_text = aggregate.how == "last" and of is not None and of.dtype == "string"
    if text and aggregate.how != "last":
        yield ("how",), f"gives a number, and the feature {name} is a string"
    elif aggregate.how == "last" and of is not None and gives_text != text:
        yield ("how",), f"gives {of.dtype}, and the feature {name} is {feature.dtype}"
    elif aggregate.how in ("mean", "stddev") and numpy_dtype(feature.dtype).kind != "f":
        yield ("how",), f"gives a float, and the feature {name} is {feature.dtype}"


def _field(contract: Contract, aggregate: Aggregate) -> Found:
    """Check an aggregate's field: a single-valued feature of the request, or another field."""
    how, of = aggregate.how, aggregate.of
    if how == "count":
        if of is not None:
            yield ("of",), f"is not for count, which counts rows; got {of!r}"
        return
    if of is None:
        yield (), f"expected `of`, the field whose {how} it is"
        return
    if not FIELD.fullmatch(of):
        yield ("of",), "expected a letter or _, then at most 62 letters, digits, _ . or -"
    feature = contract.by_name.get(of)
    if feature is None:
        yield from _named(contract, ("of",), of)
        if of == contract.entity and how not in TEXTS:
            yield ("of",), f"{how} is for numbers; {of} is the entity key"
        return
    if feature.source != "request" or feature.shape:
        yield (
            ("of",),
            f"expected a field of the record or a single-valued feature of the request, got {of!r}",
        )
    elif feature.missing:
        yield ("of",), f"expected a feature that is never missing; {of} has missing: nan"
    elif feature.dtype == "string" and how not in TEXTS:
        yield ("of",), f"{how} is for numbers; {of} is a string"


def _named(contract: Contract, place: Path, name: str) -> Found:
    """Check that a feature is named, and not its column."""
    feature = contract.by_key.get(name)
    if feature is not None:
        yield place, f"is the column of the feature {feature.name}; expected the feature's name"


def _time(contract: Contract, stream: Stream) -> Found:
    if not 0 <= stream.allowed_lateness <= MAX_LATENESS:
        yield (
            ("allowed_lateness",),
            f"expected seconds from 0 to {MAX_LATENESS}, got {stream.allowed_lateness:g}",
        )
    if stream.window is not None and not 1 <= stream.window <= MAX_WINDOW:
        yield (
            ("window",),
            f"expected seconds from 1 to {MAX_WINDOW}, got {stream.window:g}",
        )
    if stream.time is None:
        if stream.window is not None:
            yield (
                ("window",),
                "needs `time`, the field of a record's own time; windows by arrival are as long "
                "as the template says",
            )
        elif stream.allowed_lateness:
            yield ("allowed_lateness",), "needs `time` and `window`: nothing arrives too late"
        return
    if stream.window is None:
        yield ("time",), "needs `window`, the length of a window in seconds"
    if not FIELD.fullmatch(stream.time):
        yield ("time",), "expected a letter or _, then at most 62 letters, digits, _ . or -"
    if stream.time == contract.entity:
        yield ("time",), "is also the name of the entity key, which it cannot be"
    feature = contract.by_name.get(stream.time)
    if feature is None:
        yield from _named(contract, ("time",), stream.time)
        return
    if feature.source != "request" or feature.shape:
        yield (
            ("time",),
            "expected a field of the record or a single-valued feature of the request, "
            f"got {stream.time!r}",
        )
    elif feature.missing:
        yield ("time",), f"expected a feature that is never missing; {stream.time} has missing: nan"
    elif feature.dtype not in TIMES:
        yield ("time",), f"expected one of {', '.join(TIMES)}, {stream.time} is {feature.dtype}"
