"""Measures a model in a process of its own, by the handler that serves it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quintet.contract import Contract, from_dict, to_dict
from quintet.errors import ModelFailure
from quintet.manifest import GRAPH, prefix, sha256
from quintet.serving.model_cache import memory_needed
from quintet_cli.project import project_folder
from quintet_cli.registry import artifacts_of, route_of
from quintet_cli.sizing.curves import Measured
from quintet_cli.stage import Stage

__all__ = ["QUOTAS", "Subject", "measure", "of_package", "of_stage"]

#: quotas that are measured besides a whole vCPU: of functions with 885 and 443 MB
QUOTAS = (0.5, 0.25)
#: seconds of measuring; what is before and after them fits into the minute
SECONDS = 30.0


@dataclass(frozen=True)
class Subject:
    """A model to measure: golden rows are its records."""

    contract: Contract
    golden: dict[str, Any]
    graph: bytes


def of_package(folder: Path) -> Subject:
    """The model of a package, which is checked as `publish` does.

    Raises:
        PackageError: it cannot be published.
    """
    from quintet_publish.release import prepare  # with onnx and onnxruntime

    release = prepare(folder, lambda *_: None)
    return Subject(release.contract, release.golden, release.files[GRAPH])


def of_stage(stage: Stage, model: str, version: int | None) -> Subject:
    """A published version, by default the live one.

    Raises:
        NotFound: there is no such model or version.
        ModelFailure: its files differ from the published ones.
        Transient: they could not be read.
    """
    route = route_of(stage, model)
    number = route.live if version is None else version
    if number not in route.versions:
        raise route.unknown(number)
    manifest = artifacts_of(stage).manifest(model, number, route.versions[number].seal)
    key = prefix(model, number) + GRAPH
    bucket = stage.outputs["RegistryBucketName"]
    graph = stage.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    if sha256(graph) != manifest.files[GRAPH].sha256:
        raise ModelFailure(f"model {model} version {number}: its {GRAPH} was changed")
    return Subject(from_dict(manifest.contract), manifest.golden, graph)


def measure(subject: Subject) -> Measured:
    """Measure the curves of a model, its start and its memory.

    Raises:
        ModelFailure: the handler does not answer the golden rows.
    """
    contract = subject.contract
    with tempfile.TemporaryDirectory() as scratch:
        graph, job = Path(scratch) / GRAPH, Path(scratch) / "job.json"
        graph.write_bytes(subject.graph)
        described = {
            "contract": to_dict(contract),
            "golden": subject.golden,
            "graph": str(graph),
            "handler": str((project_folder() / "functions/predict/app.py").resolve()),
            "quotas": QUOTAS,
            "seconds": SECONDS,
        }
        job.write_text(json.dumps(described), encoding="utf-8")
        ended = subprocess.run(
            [sys.executable, "-m", "quintet_cli.sizing.child", str(job)],
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise ModelFailure(f"model {contract.name} could not be measured: {last}")
    return Measured(
        model=contract.name,
        version=contract.version,
        slo_ms=contract.slo.p95_ms,
        most_rows=contract.limits.rows,
        stored_features=any(feature.source != "request" for feature in contract.features),
        model_mb=memory_needed(len(subject.graph)) / 1e6,
        **json.loads(ended.stdout),
    )


def _environment() -> dict[str, str]:
    """predict's, as far as it matters here."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OPENBLAS_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "POWERTOOLS_SERVICE_NAME": "predict",
        "POWERTOOLS_METRICS_NAMESPACE": "Quintet",
        "QUINTET_STAGE": "size",
        "QUINTET_AUTH": "none",
    }
