"""Fetch, verify and load published versions from the registry bucket."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.s3 import S3, checked, is_absent
from quintet.contract import Contract, from_dict
from quintet.errors import ModelFailure
from quintet.manifest import (
    BASELINE,
    GRAPH,
    MANIFEST,
    MAPPED,
    WEIGHTS,
    Manifest,
    manifest_from_json,
    prefix,
    sha256,
)
from quintet.onnx_model import OnnxModel, available_threads
from quintet.serving import golden

__all__ = ["Artifacts"]

#: is called with the largest difference of a version that serves all the same
Warn = Callable[[Contract, golden.Difference], None]


class Artifacts:
    """Loads versions from the registry bucket.

    If `cache` is a folder, graphs are kept there under their SHA-256 and verified on every read.
    The weights of a large model are then mapped from there, and packed by a later run.
    `threads` is the number of threads of each model's run, by default all cores. `warn` is called
    with the contract and the largest difference of a version that serves although its golden
    outputs are not quite reproduced, `not_packed` with that of a large model whose packed weights
    do not load or do not give the golden outputs: it goes on with mapped ones. `early` is how many
    golden rows a load checks, by default all. The others are due after the first run, and a version
    that fails then has all rows checked at its next load.
    """

    def __init__(
        self,
        client: AwsClient,
        bucket: str,
        *,
        cache: Path | None = None,
        threads: int | None = None,
        early: int | None = None,
        warn: Warn = lambda contract, difference: None,
        not_packed: Callable[[Contract, ModelFailure], None] = lambda contract, error: None,
    ) -> None:
        self._s3 = S3(client)
        self._bucket = bucket
        self._cache = cache
        self._threads = threads or available_threads(os.environ)
        self._early = early
        self._failed_late: set[str] = set()  # digests
        self._warn = warn
        self._not_packed = not_packed

    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        """Load a version, ready to run, and check its golden vectors on this machine.

        `seal` is the manifest's SHA-256 from the registry table.

        Raises:
            ModelFailure: its files differ from the published ones, do not load, or do not
                reproduce the golden outputs.
            Transient: its files could not be read.
        """
        manifest = self.manifest(model, version, seal)
        vectors = golden.golden_from_dict(manifest.golden)
        weights = self._weights(manifest)
        make = partial(
            OnnxModel,
            from_dict(manifest.contract),
            self._graph(manifest, GRAPH if weights is None else MAPPED),
            digest=manifest.digest,
            threads=self._threads,
            weights=weights,
        )
        late = self._early is not None and manifest.digest not in self._failed_late
        early = self._early if late else None
        warn = _once(self._warn)  # later checks of a load see the same differences
        loaded = self._checked(make(packed=weights is None), vectors.slice(0, early), warn)
        as_checked = copy.copy(loaded)  # whose runs do not count as the loaded model's
        if weights is not None:

            def pack() -> OnnxModel:
                try:
                    return self._checked(make(), vectors, warn)
                except ModelFailure as error:
                    self._not_packed(loaded.contract, error)
                    raise

            loaded.replace_later(pack)
        if early is not None and early < vectors.rows:

            def check() -> None:
                try:
                    self._checked(as_checked, vectors.slice(early, None), warn, early)
                except ModelFailure:
                    self._failed_late.add(manifest.digest)
                    raise
                loaded.due = None

            loaded.check_after_a_run(check)
        return loaded

    def _checked(
        self, loaded: OnnxModel, vectors: golden.Golden, warn: Warn, start: int = 0
    ) -> OnnxModel:
        """Check the golden outputs on this machine; see `Contract.when_golden_differs`.

        `start` is the number of the first of these rows.
        """
        contract = loaded.contract
        differences = golden.check(loaded, vectors, start)
        if not differences:
            return loaded
        worst = max(differences, key=lambda difference: difference.relative)
        text = f"model {contract.name} version {contract.version} does not give its golden outputs"
        if not all(difference.is_near for difference in differences):
            raise ModelFailure(f"{text} here: {worst}")
        if contract.when_golden_differs == "refuse":
            raise ModelFailure(
                f"{text} here: {worst}. A version with `when_golden_differs: warn` serves up to "
                f"{golden.NEAR} times its tolerance"
            )
        warn(contract, worst)
        return loaded

    def contract(self, model: str, version: int, seal: str | None = None) -> Contract:
        """Return the contract of a version, without its graph. Raises the same as `load`."""
        return from_dict(self.manifest(model, version, seal).contract)

    def baseline(self, model: str, version: int, seal: str | None = None) -> dict[str, Any]:
        """Return the baseline of a version, or an empty one. Raises the same as `load`."""
        known = self.manifest(model, version, seal).files.get(BASELINE)
        if known is None:
            return {}
        content = self._get(model, version, BASELINE)
        if sha256(content) != known.sha256:
            raise ModelFailure(f"model {model} version {version}: its {BASELINE} was changed")
        found: dict[str, Any] = json.loads(content)
        return found

    def manifest(self, model: str, version: int, seal: str | None = None) -> Manifest:
        """Return the manifest of a version. Raises the same as `load`."""
        content = self._get(model, version, MANIFEST)
        if seal is not None and sha256(content) != seal:
            raise ModelFailure(f"model {model} version {version}: its manifest was changed")
        try:
            manifest = manifest_from_json(content)
        except ValueError as error:
            raise ModelFailure(f"model {model} version {version}: {error}") from error
        if (manifest.name, manifest.version) != (model, version):
            raise ModelFailure(f"model {model} version {version}: its manifest is of another")
        return manifest

    def _weights(self, manifest: Manifest) -> Path | None:
        """The file of a large model's weights; None for others, or without room to keep it."""
        known = manifest.files.get(WEIGHTS)
        if known is None or self._cache is None:
            return None
        kept = self._cache / known.sha256 / WEIGHTS
        with contextlib.suppress(OSError), kept.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == known.sha256:
                return kept
        content = self._get(manifest.name, manifest.version, WEIGHTS)
        if sha256(content) != known.sha256:
            raise ModelFailure(
                f"model {manifest.name} version {manifest.version}: its weights are not the ones "
                "that were published"
            )
        try:
            _write(kept, content)
        except OSError:
            return None
        return kept

    def _graph(self, manifest: Manifest, path: str) -> bytes:
        expected = manifest.files[path].sha256
        kept = self._cache / f"{expected}.onnx" if self._cache else None
        if kept:
            with contextlib.suppress(OSError):
                content = kept.read_bytes()
                if sha256(content) == expected:
                    return content
        content = self._get(manifest.name, manifest.version, path)
        if sha256(content) != expected:
            raise ModelFailure(
                f"model {manifest.name} version {manifest.version}: its graph is not the one "
                "that was published"
            )
        if kept:
            with contextlib.suppress(OSError):  # not cached: the next load reads the bucket
                _write(kept, content)
        return content

    def _get(self, model: str, version: int, path: str) -> bytes:
        response = self._s3.get(self._bucket, f"{prefix(model, version)}{path}")
        if is_absent(response):
            raise ModelFailure(f"model {model} version {version}: {path} cannot be read")
        return checked(response).body


def _once(warn: Warn) -> Warn:
    """The same, but only its first call does anything."""
    told = False

    def first(contract: Contract, difference: golden.Difference) -> None:
        nonlocal told
        if not told:
            told = True
            warn(contract, difference)

    return first


def _write(target: Path, content: bytes) -> None:
    """Write a file atomically: several processes may share the folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
