"""A dropped file's format, from magic bytes and name; a CSV's delimiter and header."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quintet.columns import near_name
from quintet.contract import Contract
from quintet.errors import BadInput, Refusal
from quintet.formats.byte_streams import unpacked
from quintet.formats.parquet import MAGIC
from quintet.formats.sources import FileFormat
from quintet.formats.splitting import records
from quintet.formats.vectors import base_of

__all__ = [
    "BOM",
    "HEAD",
    "Header",
    "Kind",
    "check_columns",
    "detect",
    "ignored_columns",
    "is_blank",
    "read_header",
    "without_header",
]

BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
DELIMITERS = ",;\t|"
SUFFIXES: dict[str, FileFormat] = {
    "csv": "csv",
    "tsv": "csv",
    "txt": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "jsonl",
}
#: how many bytes of a file identify its format
HEAD = 1 << 18
#: how many rows show the delimiter of a file without a header
MAX_ROWS = 100
#: how many columns a message names, and how many characters of a file's it shows
MAX_SHOWN, SHOWN = 8, 60
#: a number in any locale, no value, or several of them with another delimiter
NUMBER = re.compile(r"[-+0-9.,;|'\s_eE]*|[-+]?(nan|inf)", re.IGNORECASE)
EXPECTED = "CSV, JSONL (both also gzipped) or Parquet"


@dataclass(frozen=True, slots=True)
class Kind:
    """A file's format, and whether it is gzipped."""

    format: FileFormat
    gzip: bool


@dataclass(frozen=True, slots=True)
class Header:
    """What a CSV begins with: the columns, the delimiter and where the rows begin.

    That is at byte `end`, on the line of number `line`.
    """

    columns: tuple[str, ...]
    delimiter: str
    end: int
    line: int


def detect(key: str, head: bytes) -> Kind:
    """The format of a file from its key and its first bytes; the bytes take precedence.

    Raises:
        BadInput: it has no supported format.
    """
    if not head:
        raise BadInput.of("the file", EXPECTED, "an empty file (0 bytes)")
    if head.startswith(MAGIC):
        return Kind("parquet", False)
    name = key.rpartition("/")[2].lower()
    packed = head.startswith(GZIP)
    if packed:
        name = name.removesuffix(".gz")
        head = next(unpacked([head], partial=True), b"")
        if head.startswith(MAGIC):
            raise BadInput.of("the file", EXPECTED, "gzipped Parquet; drop it unpacked")
    elif name.endswith(".gz"):
        got = f"data that is not gzip; gzip it, or name it {name.removesuffix('.gz')[-60:]}"
        raise BadInput.of("the file", "gzip, as its name ends in .gz", got)
    elif name.endswith(".parquet"):
        raise BadInput.of("the file", "Parquet", "a file that does not begin as Parquet does")
    _check_text(head)
    text = head.removeprefix(BOM).lstrip()
    if text.startswith(b"["):
        raise BadInput.of("the file", "one JSON object a line (JSONL)", "a JSON array")
    suffix = name.rpartition(".")[2] if "." in name else ""
    found = SUFFIXES.get(suffix, "jsonl" if text.startswith(b"{") else None)
    if found is None:
        raise BadInput.of("the file", EXPECTED, f"the unknown suffix {suffix[:20]!r}")
    return Kind(found, packed)


def _check_text(head: bytes) -> None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadInput.of("the file", "text in UTF-8", "UTF-16")
    if b"\0" in head:
        raise BadInput.of("the file", EXPECTED, "binary data of an unknown format")


def is_blank(head: bytes) -> bool:
    """Whether a text has only blank lines; `head` is its first bytes, up to `HEAD`."""
    return len(head) < HEAD and not head.removeprefix(BOM).strip()


def read_header(contract: Contract, head: bytes) -> Header:
    """A CSV's header, from the file's first `HEAD` bytes.

    The delimiter is the one that yields the most columns of the contract.

    Raises:
        BadInput: the file has no header, is not text, or its columns are not the contract's.
    """
    shift = len(BOM) if head.startswith(BOM) else 0
    text = head[shift:].lstrip(b"\r\n")
    shift = len(head) - len(text)
    line = _decoded(text.partition(b"\n")[0])
    if not line:
        raise BadInput.of("the header", f"a row in the first {HEAD} bytes", "empty lines only")
    best = _delimiter(contract, line)
    first = next(records([text], best.encode()))
    end = int(first.ends[0])
    columns = _columns(_decoded(text[:end]), best)
    _check_named(contract, columns)
    check_columns(contract, columns)
    return Header(columns, best, shift + end, head.count(b"\n", 0, shift + end) + 1)


def without_header(contract: Contract, head: bytes, columns: tuple[str, ...]) -> Header:
    """The columns of a CSV without a header, checked against its first rows.

    The delimiter is the one that gives the most of them a cell for each column.

    Raises:
        BadInput: no row has that many cells, or the first one is a header.
    """
    shift = len(BOM) if head.startswith(BOM) else 0
    text = head[shift:].lstrip(b"\r\n")
    shift = len(head) - len(text)
    # a comma comes last, as it may separate decimals
    cells = {delimiter: _first_cells(text, delimiter) for delimiter in DELIMITERS[::-1]}
    named = _required(contract) or set(columns)
    if any(named <= set(rows[0]) for rows in cells.values()):
        got = "the names of the columns; leave `header: none` out"
        raise BadInput.of("the first row", "values, as `header` is none", got)
    counts = {delimiter: [len(row) for row in rows] for delimiter, rows in cells.items()}
    best = max(counts, key=lambda d: counts[d].count(len(columns)))
    if b"\n" not in text and len(head) == HEAD:  # the first row is cut
        best = max(DELIMITERS, key=lambda d: counts[d])
    elif len(columns) not in counts[best]:
        shown = ", ".join(columns[:MAX_SHOWN]) + ", ..." * (len(columns) > MAX_SHOWN)
        expected = f"{len(columns)} cells, as `header` is none: {shown}"
        count = max(found[0] for found in counts.values())
        without_key = contract.entity and contract.entity not in columns
        why = f"; {contract.entity} has none, as the model joins no stored features"
        raise BadInput.of("the first row", expected, f"{count}{why if without_key else ''}")
    return Header(columns, best, shift, head.count(b"\n", 0, shift) + 1)


def _first_cells(text: bytes, delimiter: str) -> list[tuple[str, ...]]:
    """The cells of a text's first rows; without its last row, which may be cut, if it has others.

    Raises:
        BadInput: there is no row, or lines end otherwise than in CSV.
    """
    part = next(records([text], delimiter.encode()))
    spans = zip(part.starts.tolist()[:MAX_ROWS], part.ends.tolist()[:MAX_ROWS], strict=True)
    rows = [part.data[start:end].decode(errors="replace").rstrip("\r\n") for start, end in spans]
    if not rows:
        raise BadInput.of("the first row", f"one in the first {HEAD} bytes", "empty lines only")
    if "\r" in rows[0] and "\n" not in rows[0]:
        raise BadInput.of("the file", "lines that end in \\n or \\r\\n", "lines that end in \\r")
    return [_names(row, delimiter) for row in rows]


def _check_named(contract: Contract, columns: Sequence[str]) -> None:
    """Refuse a first record that is no header.

    Raises:
        BadInput: it has numbers only, or no name that the contract has, or a similar one.
    """
    known = contract.request_keys
    if known & set(columns):
        return
    numbers = all(NUMBER.fullmatch(name) for name in columns)
    if not numbers and (not known or any(near_name(name, sorted(known)) for name in columns)):
        return
    needed = sorted(_required(contract))
    if not numbers and not needed:
        return
    shown = ", ".join(needed[:MAX_SHOWN]) or "of the model"
    more = ", ..." * (len(needed) > MAX_SHOWN)
    first = ", ".join(columns[:MAX_SHOWN])[:SHOWN]
    what = "numbers only" if numbers else "none of these"
    got = f"{what} ({first}); if the file has no header, say `header: none`"
    raise BadInput.of("the header", f"the columns {shown}{more}", got)


def _delimiter(contract: Contract, line: str) -> str:
    """The delimiter that yields the most columns of the contract."""
    return max(DELIMITERS, key=lambda d: (_found(contract, line, d), line.count(d)))


def _decoded(raw: bytes) -> str:
    if len(raw) > HEAD // 2:
        raise BadInput.of("the header", f"at most {HEAD // 2} bytes", "a longer one")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadInput.of("the header", "text in UTF-8", "another encoding") from None
    if "\r" in text.rstrip("\r\n"):
        raise BadInput.of("the file", "lines that end in \\n or \\r\\n", "lines that end in \\r")
    return text


def _columns(text: str, delimiter: str) -> tuple[str, ...]:
    try:
        return _names(text, delimiter, strict=True)
    except csv.Error:
        got = "a quote that is never closed, or text behind a closing one"
        raise BadInput.of("the header", "a row of CSV", got) from None


def _names(text: str, delimiter: str, *, strict: bool = False) -> tuple[str, ...]:
    row = next(csv.reader([text], delimiter=delimiter, strict=strict), [])
    return tuple(name.strip() for name in row)


def _found(contract: Contract, line: str, delimiter: str) -> int:
    return len(contract.request_keys & set(_names(line, delimiter)))


def check_columns(contract: Contract, columns: Sequence[str]) -> None:
    """Refuse a file without a required column; the refusal names the likely misspelling.

    Raises:
        BadInput: a required column is missing, or one of the contract's is there twice.
    """
    spare = [name for name in columns if name not in contract.request_keys]
    refusals = []
    missing = sorted(_required(contract) - set(columns))
    vectors = Counter(filter(None, map(base_of, missing)))
    for name, count in vectors.items():
        expected = f"a column for each value: {name}[0], {name}[1], ..."
        refusals.append(Refusal(None, name, expected, f"{count} of them missing"))
    for name in missing:
        if base_of(name) in vectors:
            continue
        feature = contract.by_key.get(name)
        own = feature is not None and feature.name in spare
        meant = feature.name if feature is not None and own else near_name(name, spare)
        hint = f"; is it {meant[:60]!r}?" if meant else ""
        refusals.append(Refusal(None, name, "a column of that name", f"no such column{hint}"))
    for name in sorted(contract.request_keys):
        if (times := columns.count(name)) > 1:
            refusals.append(Refusal(None, name, "one column of that name", f"{times}"))
    if refusals:
        raise BadInput(refusals)


def _required(contract: Contract) -> set[str]:
    needed = {feature.key for feature in contract.requested if feature.fill is None}
    return needed | {contract.entity} if contract.entity and contract.needs_entity else needed


def ignored_columns(contract: Contract, columns: Iterable[str]) -> tuple[str, ...]:
    """The columns that the contract does not name; files may have them, and they are ignored."""
    known = contract.request_keys
    return tuple(n for n in columns if n not in known and base_of(n) not in known)
