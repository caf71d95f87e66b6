"""The layers as built: their size, what they need of the runtime, that they are compiled."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.built.artefacts import ARCHITECTURES, MB, TooLarge, built, check_size, needs
from tests.kits.local_aws import ROOT

pytestmark = [pytest.mark.built, pytest.mark.parametrize("architecture", ARCHITECTURES)]

LAYERS = ("RuntimeLayer", "ColumnarLayer", "SealingLayer", "CallersLayer", "QuintetLayer")
BASE_MB, READER_MB, FUNCTION_MB = 90, 130, 140
MACHINES = {"x86_64": "EM_X86_64", "arm64": "EM_AARCH64"}


def test_the_base_layer_is_small(architecture: str) -> None:
    check_size("RuntimeLayer", [built(architecture).layer("RuntimeLayer")], BASE_MB * MB)


def test_the_base_layer_is_small_with_the_reader(architecture: str) -> None:
    layers = [built(architecture).layer(name) for name in ("RuntimeLayer", "ColumnarLayer")]
    check_size("RuntimeLayer with ColumnarLayer", layers, READER_MB * MB)


def test_a_function_is_small_with_its_layers(architecture: str) -> None:
    for name, function in built(architecture).functions.items():
        check_size(name, [function.code, *function.layers], FUNCTION_MB * MB)


def test_the_columnar_reader_is_carried_by_those_alone_that_use_it(
    architecture: str,
) -> None:
    columnar = built(architecture).layer("ColumnarLayer")
    carrying = {n for n, f in built(architecture).functions.items() if columnar in f.layers}
    assert carrying == {
        "PlanRun",
        "ScoreUnit",
        "ScoreStream",
        "Capture",
        "Compact",
        "AddLabels",
        "ReportDay",
        "WatchAges",
        "Compare",
        "Rollout",
    }


def test_the_cryptography_is_carried_by_those_alone_that_use_it(architecture: str) -> None:
    sealing = built(architecture).layer("SealingLayer")
    carrying = {n for n, f in built(architecture).functions.items() if sealing in f.layers}
    assert carrying == {"Predict", "Work", "ScoreStream", "Compare"}
    callers = built(architecture).layer("CallersLayer")
    assert {n for n, f in built(architecture).functions.items() if callers in f.layers} == {
        "Authorise"
    }


def test_libraries_are_of_the_machine_and_need_no_newer_runtime(architecture: str) -> None:
    layers = [built(architecture).layer(name) for name in LAYERS]
    libraries = [path for layer in layers for path in layer.rglob("*.so*") if path.is_file()]
    assert len(libraries) > 20
    wrong = {}
    for library in libraries:
        machine, missing = needs(library)
        if machine != MACHINES[architecture] or missing:
            wrong[str(library)] = (machine, missing)
    assert wrong == {}


def test_every_module_is_compiled_for_a_file_system_that_cannot_be_written(
    architecture: str,
) -> None:
    folders = [built(architecture).layer(name) for name in LAYERS]
    command = ["python3.13", "-SP", str(ROOT / "tests/built/check_pyc.py"), *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_a_layer_that_is_too_large_is_told_with_its_largest_packages(
    architecture: str, tmp_path: Path
) -> None:
    for name, size in (("numpy", 3 * MB), ("orjson", MB)):
        (tmp_path / "Layer/python" / name).mkdir(parents=True)
        (tmp_path / "Layer/python" / name / "core.so").write_bytes(bytes(size))
    folder = tmp_path / "Layer"
    assert check_size(architecture, [folder], 4 * MB) == 4 * MB
    with pytest.raises(TooLarge) as told:
        check_size(architecture, [folder], 4 * MB - 1)
    assert str(told.value) == (
        f"{architecture} is 4.0 MB unzipped, expected at most 4.0; "
        "the largest are Layer/python/numpy 3.0, Layer/python/orjson 1.0"
    )
