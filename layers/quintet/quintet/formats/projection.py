"""A view of some row groups of a Parquet file that has only some of its columns.

arro3 reads all columns of a file. What the model does not take may be damaged, or wide, so the
reader gets a footer that does not name it: schema, column chunks, column orders and, as that
lists all columns, without Arrow's own schema. Fields are those of `quintet.formats.parquet`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from quintet.errors import BadInput
from quintet.formats.parquet import (
    COLUMNS,
    MAGIC,
    NUM_ROWS,
    ROW_GROUPS,
    Field,
    Footer,
    RowGroup,
    list_header,
    row_group,
    varint,
)

__all__ = ["Projection", "project"]

# fields of FileMetaData, SchemaElement and KeyValue
SCHEMA, KEY_VALUES, COLUMN_ORDERS = 2, 5, 7
NAME, CHILDREN = 4, 5
KEY = 1
ARROW_SCHEMA = b"ARROW:schema"


class Projection(NamedTuple):
    """The end of a file with only some columns, and its row groups without the others.

    It is `whole` where all columns are there.
    """

    tail: bytes
    groups: tuple[RowGroup, ...]
    whole: bool


class _Column(NamedTuple):
    """A column of the file: its elements of the schema, and its leaves."""

    name: str
    elements: range
    leaves: range


def project(footer: Footer, first: int, last: int, names: Collection[str]) -> Projection:
    """The row groups from `first` to before `last` with only the columns of some names.

    With all columns, or none of them, it is as it stands in the file.

    Raises:
        BadInput: the footer is damaged.
    """
    try:
        return _projected(footer, first, last, names)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise BadInput.of("the file", "Parquet, whole", "a footer that is damaged") from None


def _projected(footer: Footer, first: int, last: int, names: Collection[str]) -> Projection:
    schema = footer.fields[SCHEMA].value
    columns = _columns(schema)
    kept = [column for column in columns if column.name in names]
    if len(kept) in (0, len(columns)):
        return Projection(footer.of(first, last), footer.groups[first:last], True)
    leaves = [leaf for column in kept for leaf in column.leaves]
    numbers = [n for n in range(first, last) if footer.groups[n].rows]
    groups = [footer.fields[ROW_GROUPS].value[n] for n in numbers]
    rows = sum(footer.groups[n].rows for n in numbers)
    changes = {
        SCHEMA: _schema(footer.meta, schema, kept),
        NUM_ROWS: varint(rows << 1),
        ROW_GROUPS: list_header(len(groups))
        + b"".join(_group(footer.meta, group, leaves) for group in groups),
    }
    if KEY_VALUES in footer.fields:
        pairs = footer.fields[KEY_VALUES].value
        others = [pair for pair in pairs if pair.value[KEY].value != ARROW_SCHEMA]
        changes[KEY_VALUES] = _list(footer.meta, others)
    if COLUMN_ORDERS in footer.fields:
        orders = footer.fields[COLUMN_ORDERS].value
        changes[COLUMN_ORDERS] = _list(footer.meta, [orders[leaf] for leaf in leaves])
    meta, at = b"", 0
    for name in sorted(changes, key=lambda name: footer.fields[name].start):
        field = footer.fields[name]
        meta += footer.meta[at : field.start] + changes[name]
        at = field.end
    meta += footer.meta[at:]
    return Projection(
        meta + len(meta).to_bytes(4, "little") + MAGIC,
        tuple(
            row_group({**group.value, COLUMNS: Field(_chosen(group, leaves), 0, 0)})
            for group in groups
        ),
        False,
    )


def _columns(schema: Sequence[Field]) -> list[_Column]:
    """The columns right below the schema's root."""
    found = []
    at, leaf = 1, 0
    while at < len(schema):
        start, first, open_ = at, leaf, 1
        while open_:
            children = schema[at].value[CHILDREN].value if CHILDREN in schema[at].value else 0
            leaf += not children
            open_ += children - 1
            at += 1
        name = schema[start].value[NAME].value.decode(errors="replace")
        found.append(_Column(name, range(start, at), range(first, leaf)))
    return found


def _schema(meta: bytes, schema: Sequence[Field], kept: Sequence[_Column]) -> bytes:
    root, children = schema[0], schema[0].value[CHILDREN]
    head = meta[root.start : children.start] + varint(len(kept) << 1)
    head += meta[children.end : root.end]
    elements = [schema[at] for column in kept for at in column.elements]
    return list_header(len(elements) + 1) + head + _spans(meta, elements)


def _group(meta: bytes, group: Field, leaves: Sequence[int]) -> bytes:
    columns = group.value[COLUMNS]
    chosen = _list(meta, _chosen(group, leaves))
    return meta[group.start : columns.start] + chosen + meta[columns.end : group.end]


def _chosen(group: Field, leaves: Sequence[int]) -> list[Any]:
    chunks = group.value[COLUMNS].value
    return [chunks[leaf] for leaf in leaves]


def _list(meta: bytes, items: Sequence[Field]) -> bytes:
    return list_header(len(items)) + _spans(meta, items)


def _spans(meta: bytes, items: Sequence[Field]) -> bytes:
    return b"".join(meta[item.start : item.end] for item in items)
