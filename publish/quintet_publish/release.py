"""Checks a package and builds its release: the files to store."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quintet.contract import Contract, to_dict
from quintet.manifest import BASELINE, GRAPH, digest_of, sha256
from quintet.monitoring.baseline import with_outputs
from quintet_publish.golden_files import GOLDEN_BYTES
from quintet_publish.load_check import Checked, load_check
from quintet_publish.model_yaml import MAX_BYTES
from quintet_publish.package import CONTRACT, read_file
from quintet_publish.problems import PackageError
from quintet_publish.read_check import Findings, read_check
from quintet_publish.safety import CAPS
from quintet_publish.tolerance import noise_warning
from quintet_publish.weights import split

__all__ = ["Release", "prepare", "renumbered"]

#: the line of model.yaml that holds the version
VERSION = re.compile(rb"^version:[ \t]*[0-9]+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Release:
    """A package that passed its checks.

    `files` are those to store, by their names in the registry.
    """

    contract: Contract
    digest: str
    sources: dict[str, str]
    files: dict[str, bytes]
    golden: dict[str, Any]


def prepare(
    folder: Path, tick: Callable[[str, str], None], warn: Callable[[str], None] = lambda text: None
) -> Release:
    """Check a package and build its release.

    `tick` is called after each check with its result, `warn` with what is accepted but
    probably wrong.

    Raises:
        PackageError: the package cannot be published.
    """
    found = read_check(folder)
    contract, golden = found.contract, found.golden_file
    files = {
        CONTRACT: _checked(folder, CONTRACT, MAX_BYTES, found),
        GRAPH: _checked(folder, GRAPH, CAPS.bytes, found),
        golden: _checked(folder, golden, GOLDEN_BYTES[golden], found),
        "contract.json": _json(to_dict(contract)),
    }
    tick("contract", f"{contract.name} version {contract.version}")
    tick("safety", f"{len(files[GRAPH]):,} bytes, {found.nodes} nodes")
    tick("graph", f"{len(contract.inputs)} in, {len(contract.outputs)} out, as the contract says")
    mapped = split(files[GRAPH])
    checked = load_check(
        files[GRAPH],
        contract,
        files[golden],
        golden_file=golden,
        sample=found.sample,
        mapped=mapped,
    )
    files |= mapped
    together = "rows one by one" if contract.rows == "one" else "at once"
    tick(
        "golden vectors",
        f"{found.golden_rows} rows agree, {checked.full_rows:,} {together} in "
        f"{checked.full_ms:.1f} ms; loads in {checked.load_ms:.1f} ms, "
        f"{checked.memory / 1e6:.0f} MB",
    )
    _tell_tolerance(found, checked, tick, warn)
    for text in found.warnings:
        warn(text)
    files[BASELINE] = _json(_baseline(found, checked))
    tick("baseline", contract.training_data or "no training data")
    if contract.training_data is not None and checked.sample is not None:
        _tell_sample(contract.training_data, checked.sample, tick, warn)
    return Release(contract, found.digest, found.sources, files, found.golden)


def renumbered(release: Release, version: int) -> Release:
    """Return a release under another number, its model.yaml changed in that alone.

    Raises:
        PackageError: model.yaml has no line of its own for the version.
    """
    content, found = VERSION.subn(f"version: {version}".encode(), release.files[CONTRACT])
    if found != 1:
        raise PackageError.of(CONTRACT, f"expected a line `version: N`; set it to {version}")
    contract = replace(release.contract, version=version)
    sources = {**release.sources, CONTRACT: sha256(content)}
    files = {CONTRACT: content, "contract.json": _json(to_dict(contract))}
    return Release(
        contract, digest_of(sources), sources, {**release.files, **files}, release.golden
    )


def _tell_tolerance(
    found: Findings,
    checked: Checked,
    tick: Callable[[str, str], None],
    warn: Callable[[str], None],
) -> None:
    """Report how much of the tolerance is used here, and whether it should hold elsewhere."""
    tolerance, noise = found.golden["tolerance"], checked.noise
    measured = "noise not measured" if noise is None else f"noise {noise.largest:.1g}"
    tick("tolerance", f"{tolerance:g}, of which {checked.margin:.0%} is used here; {measured}")
    if noise is not None and (text := noise_warning(noise, tolerance)):
        warn(f"{found.golden_file}: {text}")


def _tell_sample(
    path: str,
    sample: dict[str, Any],
    tick: Callable[[str, str], None],
    warn: Callable[[str], None],
) -> None:
    """Report what the training data show.

    Raises:
        PackageError: every row would be refused, or two features are swapped.
    """
    rows, refused = sample["rows"], sample["refused"]
    if refused:
        text = f"{refused:,} of {rows:,} rows would be refused: {'; '.join(sample['reasons'])}"
        if refused == rows:
            raise PackageError.of(path, text)
        warn(f"{path}: {text}")
    if sample.get("swap"):
        raise PackageError.of(CONTRACT, sample["swap"])
    quality = f", {sample['quality']}" if "quality" in sample else ""
    tick("training data", f"{rows - refused:,} of {rows:,} rows are as the contract says{quality}")


def _baseline(found: Findings, checked: Checked) -> dict[str, Any]:
    """The baseline of the features and labels, with that of the outputs that the graph gave."""
    sample = checked.sample
    if sample is None:
        return found.baseline
    return with_outputs(found.baseline, sample["outputs"], sample["entity_outputs"])


def _checked(folder: Path, name: str, max_bytes: int, found: Findings) -> bytes:
    """Return the bytes of a file, the same that were checked."""
    content = read_file(folder, name, max_bytes)
    if sha256(content) != found.sources[name]:
        raise PackageError.of(name, "changed while it was checked; try again")
    return content


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, allow_nan=False).encode()
