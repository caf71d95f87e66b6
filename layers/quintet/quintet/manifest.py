"""What a published version consists of: its paths in the registry bucket, its manifest. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from quintet.record import Value

__all__ = [
    "BASELINE",
    "GRAPH",
    "MAPPED",
    "WEIGHTS",
    "File",
    "Manifest",
    "digest_of",
    "manifest_from_json",
    "prefix",
    "sha256",
]

BASELINE = "baseline.json"
GRAPH = "model.onnx"
#: of a large model: its graph with the large initialisers in the file of weights beside it
MAPPED = "graph.onnx"
WEIGHTS = "weights.bin"
MANIFEST = "manifest.json"


class File(Value):
    """A stored file."""

    sha256: str
    size: int


class Manifest(Value):
    """The commit of a version, written last.

    `sources` are the SHA-256 of the package's files as authored, of which `digest` is made;
    `files` are those stored beside the manifest. `contract` and `golden` (its first rows)
    are here as well, so that loading takes two reads: this and the graph.
    """

    name: str
    version: int
    digest: str
    created: str
    sources: dict[str, str]
    files: dict[str, File]
    contract: dict[str, Any]
    golden: dict[str, Any]

    def to_json(self) -> bytes:
        """The manifest as it is stored."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False).encode()


def manifest_from_json(content: bytes) -> Manifest:
    """A manifest as it was stored.

    Raises:
        ValueError: it is not one, or its digest is not that of its sources.
    """
    try:
        fields = json.loads(content)
        fields["files"] = {path: File(**file) for path, file in fields["files"].items()}
        manifest = Manifest(**fields)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("not a manifest") from error
    if digest_of(manifest.sources) != manifest.digest:
        raise ValueError("the digest is not that of the sources")
    return manifest


def digest_of(sources: Mapping[str, str]) -> str:
    """The digest of a version: SHA-256 of the lines `<sha256>  <path>`, sorted."""
    lines = sorted(f"{digest}  {path}\n" for path, digest in sources.items())
    return sha256("".join(lines).encode())


def sha256(content: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def prefix(model: str, version: int) -> str:
    """Where a version's files are in the registry bucket, with the slash at the end."""
    return f"models/{model}/{version}/"
