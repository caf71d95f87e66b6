"""Which columns of a sample feed which inputs: by name, then by order. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from quintet_publish.init.graph import Tensor
from quintet_publish.init.guess import Guess
from quintet_publish.init.names import alike, is_index, is_key, is_target
from quintet_publish.init.table import Table, cells, comma_hint, numeric
from quintet_publish.problems import Ambiguous, UnknownColumn
from quintet_publish.rules.terms import FIELD

__all__ = ["Matching", "match"]

SHOWN = 12


@dataclass(slots=True)
class Matching:
    """The columns of each input in order, and the columns that are something else."""

    columns: dict[str, list[str]] = field(default_factory=dict)
    constants: list[str] = field(default_factory=list)
    label: str | None = None
    entity: str | None = None
    id: str | None = None
    guesses: list[Guess] = field(default_factory=list)


def match(
    inputs: Sequence[Tensor],
    table: Table,
    label: str | None = None,
    given: Mapping[str, Sequence[str]] | None = None,
) -> Matching:
    """Give each input its columns; `given` has those that the user named.

    Raises:
        UnknownColumn: the table has no such column.
        Ambiguous: an input's columns cannot be guessed.
    """
    named = [name for names in (given or {}).values() for name in names]
    for told, name in (*(("column", name) for name in named), ("--label", label)):
        if name is not None and name not in table:
            raise UnknownColumn(told, name, [*table])
    found = Matching(label=label)
    for tensor in inputs:
        if given and tensor.name in given:
            found.columns[tensor.name] = list(given[tensor.name])
            found.guesses.append(_guess(tensor, given[tensor.name], "you said so"))
    _by_name(inputs, table, found)
    left = [tensor for tensor in inputs if tensor.name not in found.columns]
    if left:
        _by_order(left, table, found)
    _others(table, found)
    return found


def _guess(tensor: Tensor, columns: Sequence[str], reason: str) -> Guess:
    names = ", ".join(columns[:SHOWN]) + (", ..." if len(columns) > SHOWN else "")
    return Guess(f"input {tensor.name}", f"fed by {names}", reason)


def _free(table: Table, found: Matching) -> list[str]:
    taken = {name for names in found.columns.values() for name in names} | {found.label}
    return [name for name in table if name not in taken]


def _by_name(inputs: Sequence[Tensor], table: Table, found: Matching) -> None:
    for tensor in inputs:
        same = [name for name in _free(table, found) if alike(name, tensor.name)]
        if len(same) > 1:
            same = [name for name in same if name == tensor.name]
        if tensor.name in found.columns or not same:
            continue
        found.columns[tensor.name] = same[:1]
        values = cells(table[same[0]])
        if tensor.dims == () and values and all(value == values[0] for value in values):
            found.constants.append(tensor.name)
        found.guesses.append(_guess(tensor, same[:1], "has its name"))


def _by_order(left: Sequence[Tensor], table: Table, found: Matching) -> None:
    sizes = [_size(tensor) for tensor in left]
    for columns in _choices(_free(table, found), left, table, found):
        if None not in sizes and sum(size or 0 for size in sizes) == len(columns):
            break
        if len(left) == 1 and sizes == [None] and columns:
            sizes = [len(columns)]
            break
    else:
        raise _unclear(left[0], sizes, _free(table, found), found)
    start = 0
    for tensor, size in zip(left, sizes, strict=True):
        chosen = columns[start : start + (size or 0)]
        start += size or 0
        if tensor.dtype != "string" and not _nested(table, chosen):
            for name, text in ((n, c) for n in chosen for c in table[n] if not numeric([c])):
                expected = f"{tensor.dtype} in its columns, coded as the model was trained"
                got = f"{text!r:.60} in the column {name}{comma_hint(text)}"
                raise Ambiguous(tensor.name, expected, got, _free(table, found))
        found.columns[tensor.name] = chosen
        reason = f"the graph takes {size} values and has no names for them: in the sample's order"
        found.guesses.append(_guess(tensor, chosen, reason))


def _choices(
    names: Sequence[str], left: Sequence[Tensor], table: Table, found: Matching
) -> list[list[str]]:
    """The columns that may be meant, from all to fewer."""
    plain = [name for name in names if found.label or not is_target(name)]
    keyless = _features(plain)
    choices = [list(names), plain, _features(names), keyless]
    if all(tensor.dtype != "string" for tensor in left):
        choices.append([n for n in keyless if numeric(table[n]) or _nested(table, [n])])
    if any(_size(tensor) is None for tensor in left):
        choices = choices[-1:]  # as many as there are: not the keys and answers
    return choices


def _features(names: Sequence[str]) -> list[str]:
    """The columns whose names are neither a key's nor that of row numbers."""
    return [name for name in names if not (is_key(name) or is_index(name))]


def _unclear(
    tensor: Tensor, sizes: Sequence[int | None], free: Sequence[str], found: Matching
) -> Ambiguous:
    """Why the free columns cannot feed an input; names the last one if it is one too many."""
    size = _size(tensor)
    wanted = f"{size} columns" if size else "its columns"
    expected = (
        f"columns with the names of the inputs, or {wanted} in their order (`--label COLUMN` "
        "leaves out the right answers; in a terminal, without --yes, it asks)"
    )
    if tensor.dims == ():
        expected = "a column of its name with one value, since it has no dimension for rows"
    more = f" and {len(free) - SHOWN} more" if len(free) > SHOWN else ""
    names = f"{len(free)}: {', '.join(free[:SHOWN])}{more}"
    features = _features(free)
    known = None not in sizes and found.label is None
    one_more = known and len(features) == 1 + sum(size or 0 for size in sizes)
    label = features[-1] if one_more else None
    return Ambiguous(
        tensor.name, expected, names if free else "no column that is left", free, label
    )


def _nested(table: Table, names: Sequence[str]) -> bool:
    """Whether a column holds lists: a tensor of its own in each row."""
    return any(isinstance(cell, list) for name in names for cell in cells(table[name])[:1])


def _size(tensor: Tensor) -> int | None:
    """How many columns feed an input; None if its declared shape does not say so."""
    if tensor.dims is None:
        return None
    row = tensor.dims[1:]
    sizes = [size for size in row if isinstance(size, int)]
    return math.prod(sizes) if len(sizes) == len(row) else None


def _others(table: Table, found: Matching) -> None:
    """Find the right answers, the entity and the row's id among the columns that feed nothing."""
    names = _free(table, found)
    if found.label is not None:
        reason = "you said so: publishing compares the outputs with it"
        found.guesses.append(Guess.of(("training_target",), found.label, reason))
    for name in names:
        if found.label is None and is_target(name):
            found.label = name
            reason = "feeds no input, and its name is that of the right answers"
            found.guesses.append(Guess.of(("training_target",), name, reason))
    keys = [n for n in names if is_key(n) and n != found.label and FIELD.fullmatch(n)]
    rows = len(next(iter(table.values())))
    counts = {name: len(set(map(str, cells(table[name])))) for name in keys}
    for name in sorted(keys, key=lambda name: counts[name]):  # the most repeated is the entity
        if found.entity is None:
            found.entity = name
            reason = f"feeds no input; {counts[name]:,} different values in {rows:,} rows"
            found.guesses.append(Guess.of(("entity",), name, f"a key by its name, {reason}"))
        elif found.id is None and counts[name] == rows:
            found.id = name
            reason = "a key by its name, feeds no input, and differs in every row"
            found.guesses.append(Guess.of(("id",), name, reason))
    unused = [n for n in names if n not in (found.label, found.entity, found.id)]
    for name in unused:
        found.guesses.append(
            Guess(f"column {name or '(no name)'}", "left out", _unused(name, found))
        )


def _unused(name: str, found: Matching) -> str:
    """Why a column is left out."""
    if is_index(name):
        return "the row numbers that pandas writes; feeds no input"
    if is_key(name) and found.entity is None:
        return "a key by its name; rename it to letters, digits and _ to have it as the entity"
    return "feeds no input"
