"""List the objects of a request: those under a prefix, or those that a manifest lists.

A prefix is read as Spark, Hive and Athena read a folder: names that begin with `_` or `.` are
hidden, `name=value` folders are partitions, whose names are compared without case. Files that
tools and people put beside data (checksums, a README) are left out. A manifest has SageMaker's
format (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html), or is a
list of keys: `[{"prefix": "s3://bucket/folder/"}, "a.csv", ...]`, `["folder/a.csv",
{"key": "folder/b.csv", "version_id": "..."}]`.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote

import orjson

from quintet.batch.plans import Snapshot
from quintet.batch.requests import RunRequest
from quintet.batch.stores import InputBucket
from quintet.columns import is_missing
from quintet.columns.tables import from_text
from quintet.contract import Contract, Feature, Scalar
from quintet.errors import BadInput

__all__ = [
    "MAX_FILES",
    "InputListing",
    "ListedInput",
    "constants",
    "folders",
    "list_inputs",
    "list_prefix",
]

#: the maximum number of files of a run: planning inspects each
MAX_FILES = 100_000
#: the maximum size of a manifest in bytes
MAX_MANIFEST_BYTES = 32 << 20
FORM = 'a list of keys, or [{"prefix": "s3://..."}, "key", ...]'
#: the folder value that Hive and Spark write for a missing partition value
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


#: files that accompany data: checksums, texts for people, what desktops leave behind
BESIDE = re.compile(
    r".*\.(crc|md5|sha1|sha256|sha512|asc|sig|md|rst|html|pdf)"
    r"|(readme|license|licence|notice|changelog)(\.txt)?|thumbs\.db|desktop\.ini|.*~",
    re.IGNORECASE | re.DOTALL,
)


class ListedInput(NamedTuple):
    """An object to score. `size` and `etag` are known if it came from a listing."""

    bucket: str
    key: str
    version_id: str | None = None
    size: int | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class InputListing:
    """The objects that a request names. `manifest` is the manifest's own version.

    Of a prefix, `hidden` files and those `beside` the data are left out.
    """

    items: list[ListedInput]
    hidden: int = 0
    beside: tuple[str, ...] = ()
    manifest: Snapshot | None = None


def list_inputs(request: RunRequest, inbox: InputBucket) -> InputListing:
    """List the objects that a request names; the object of a `key` is not looked up here.

    Raises:
        BadInput: there are no files or too many, or the manifest is invalid.
        Transient: a store could not be read.
    """
    if request.scope == "key":
        return InputListing([ListedInput(request.bucket, request.source, request.version_id)])
    if request.prefix:
        found = list_prefix(inbox, request.bucket, request.prefix)
    else:
        found = _listed(request, inbox)
    wanted = _compared(f"{request.partition}/") if request.partition else set()
    items = [item for item in found.items if wanted <= _compared(item.key)]
    if not items:
        raise _nothing(request, found)
    return dataclasses.replace(found, items=items)


def _nothing(request: RunRequest, found: InputListing) -> BadInput:
    where = request.source  # callers read the refusal; do not reveal the bucket
    if found.items:
        got = f"none among {len(found.items):,} files"
        return BadInput.of("partition", f"files of {request.partition} in {where}", got)
    hidden = f"; {found.hidden:,} are hidden, as their names begin with _ or ." * bool(found.hidden)
    beside = f"; {len(found.beside):,} hold no data, by their names" * bool(found.beside)
    return BadInput.of(request.scope, f"files in {where}", f"none{hidden}{beside}")


def list_prefix(
    inbox: InputBucket, bucket: str, prefix: str, field: str = "prefix"
) -> InputListing:
    """List the files of data under `prefix`; refusals name `field`.

    Raises:
        BadInput: there are too many files, or access to the bucket is denied.
        Transient: it could not be listed.
    """
    folder = prefix.rpartition("/")[0]
    start = len(folder) + 1 if folder else 0
    items, beside, hidden = [], [], 0
    for key, size, etag in inbox.keys(bucket, prefix):
        if key.endswith(("/", "_$folder$")) and not size:  # a folder marker (console, Hadoop)
            continue
        if _hidden(key[start:]):
            hidden += 1
            continue
        if BESIDE.fullmatch(key.rpartition("/")[2]):
            beside.append(key)
            continue
        items.append(ListedInput(bucket, key, None, size, etag))
        if len(items) > MAX_FILES:
            raise BadInput.of(field, f"at most {MAX_FILES:,} files", "more; name a partition")
    return InputListing(items, hidden, tuple(beside))


def _hidden(path: str) -> bool:
    """Whether Spark ignores the path: `_SUCCESS`, `.part.crc`, `_temporary/0/part-1`."""
    return any(
        part.startswith(".") or (part.startswith("_") and "=" not in part)
        for part in path.split("/")
    )


def _listed(request: RunRequest, inbox: InputBucket) -> InputListing:
    assert request.manifest is not None
    own = inbox.snapshot(request.bucket, request.manifest, request.version_id)
    if own.size > MAX_MANIFEST_BYTES:
        raise BadInput.of("manifest", f"at most {MAX_MANIFEST_BYTES >> 20} MiB", "a larger one")
    try:
        entries = orjson.loads(inbox.read(own, 0, own.size))
    except ValueError:
        raise BadInput.of("manifest", FORM, "text that is not JSON") from None
    if not isinstance(entries, list):
        raise BadInput.of("manifest", FORM, "something else")
    if len(entries) > MAX_FILES:
        raise BadInput.of("manifest", f"at most {MAX_FILES:,} files", f"{len(entries):,}")
    bucket, prefix = request.bucket, ""
    if entries and isinstance(entries[0], dict) and entries[0].keys() == {"prefix"}:
        bucket, prefix = _address(request.bucket, entries.pop(0)["prefix"], 0)
    items = [_entry(bucket, prefix, entry, number) for number, entry in enumerate(entries)]
    seen: set[tuple[str, str]] = set()
    for item in items:
        if item[:2] in seen:
            raise BadInput.of("manifest", "every file once", f"{item.key[:200]} twice")
        seen.add(item[:2])
    return InputListing(items, manifest=own)


def _entry(bucket: str, prefix: str, entry: Any, number: int) -> ListedInput:
    version = None
    if isinstance(entry, dict) and entry.keys() <= {"key", "version_id"}:
        entry, version = entry.get("key"), entry.get("version_id")
    if not (isinstance(version, str) or version is None):
        raise BadInput.of(f"entry {number} of the manifest", "a version_id of text", "another")
    if isinstance(entry, str) and not entry.startswith("s3://"):
        entry = f"{prefix}{entry}"
    item = ListedInput(*_address(bucket, entry, number), version)
    if not item.key or item.key.endswith("/"):
        raise BadInput.of(f"entry {number} of the manifest", "the key of a file", "a folder")
    return item


def _address(bucket: str, text: Any, number: int) -> tuple[str, str]:
    """Parse a key or an s3:// address to a bucket and a key."""
    if isinstance(text, str) and text.startswith("s3://"):
        bucket, _, text = text.removeprefix("s3://").partition("/")
    if not (isinstance(text, str) and bucket and len(text) <= 1024):
        raise BadInput.of(f"entry {number} of the manifest", "a key", "something else")
    return bucket, text


# ---- partitions ------------------------------------------------------------------------------


def folders(key: str) -> list[str]:
    """The `name=value` folders of a key, as written."""
    return [part for part in key.split("/")[:-1] if "=" in part]


def _partitions(key: str) -> list[tuple[str, str]]:
    """The `name=value` folders of a key, with Hive's encoding decoded."""
    pairs = [part.partition("=") for part in folders(key)]
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


def _compared(key: str) -> set[tuple[str, str]]:
    """The partitions of a key, their names without case: Hive's columns have none."""
    return {(name.casefold(), value) for name, value in _partitions(key)}


def constants(contract: Contract, key: str) -> dict[str, Scalar]:
    """The features that a key's folders give for all rows of the file.

    A folder gives the feature of its name, else one whose name differs only in case.

    Raises:
        BadInput: a folder's value does not have its feature's type, or two folders, or two
            features, have one name.
    """
    found: dict[str, Scalar] = {}
    for name, value in _partitions(key):
        feature = _named(contract, name)
        if feature is None or value == NO_VALUE:
            continue
        if feature.name in found:
            raise BadInput.of(f"folder {name}=", f"one folder for {feature.key}", "two")
        alone = Contract(name="", version=1, task="", features=(feature,), inputs=(), outputs=())
        batch = from_text(alone, {feature.key: [value or None]})
        if batch.refusals:
            refusal = batch.refusals[0]
            raise BadInput.of(f"folder {name}=", refusal.expected, refusal.got)
        (constant,) = batch.columns[feature.name].tolist()
        if not is_missing(constant):
            found[feature.name] = constant
    return found


def _named(contract: Contract, name: str) -> Feature | None:
    """The feature that a folder's name means."""
    if name in contract.by_key:
        return contract.by_key[name]
    alike = [f for f in contract.requested if f.key.casefold() == name.casefold()]
    if len(alike) > 1:
        names = " or ".join(feature.key for feature in alike)
        raise BadInput.of(f"folder {name}=", f"a folder {names}", "one that may be any of them")
    return alike[0] if alike else None
