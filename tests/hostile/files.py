"""Kinds of hostile files: model.yaml, golden vectors, training data, and the folder itself."""

from __future__ import annotations

import io
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from arro3.core import Array, Table
from arro3.io import write_parquet

__all__ = ["FILES"]


def more(folder: Path, text: str) -> None:
    """Append to model.yaml."""
    with (folder / "model.yaml").open("a", encoding="utf-8") as file:
        file.write(text)


# ---- model.yaml ------------------------------------------------------------------------------


def yaml_aliases(draw: random.Random, folder: Path) -> None:
    """Lists of lists of lists: ten times as many at each line."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for at in range(1, draw.randint(2, 12)):
        lines.append(f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]")
    more(folder, "\n".join(lines) + "\n")


def yaml_tags(draw: random.Random, folder: Path) -> None:
    tags = ["python/object/apply:os.system [id]", "python/name:os.system ", "binary aGk="]
    more(folder, f"description: !!{draw.choice(tags)}\n")


def yaml_depth(draw: random.Random, folder: Path) -> None:
    opened = draw.choice(["[", "{a: "])
    more(folder, f"description: {opened * draw.randint(1_000, 20_000)}\n")


def yaml_size(draw: random.Random, folder: Path) -> None:
    more(folder, f"description: {'x' * draw.randint(1_500_000, 4_000_000)}\n")


# ---- golden vectors --------------------------------------------------------------------------


def golden_text(draw: random.Random, folder: Path) -> None:
    """JSON that is deep, endless, of giant numbers, or not JSON."""
    text = draw.choice(
        [
            "[" * draw.randint(1_000, 1_000_000),
            '{"columns":' * draw.randint(1_000, 100_000),
            f'{{"columns": {{"a": [{"9" * draw.randint(5_000, 500_000)}]}}, "outputs": {{}}}}',
            '{"columns": {"a": [1e999], "b": [1]}, "outputs": {"y": [[NaN]]}}',
            '{"columns": {}, "columns": {}, "outputs": {}}',
            '"' + "\\u0000" * draw.randint(1, 100_000),
            "",
        ]
    )
    (folder / "golden.json").write_text(text, encoding="utf-8")


def golden_archive(draw: random.Random, folder: Path) -> None:
    """Arrays that are giant once unpacked, that run code, or that are not what they say."""
    (folder / "golden.json").unlink()
    header = io.BytesIO()
    size = 10 ** draw.randint(9, 15)
    described = {"descr": "<f4", "fortran_order": False, "shape": (size,)}
    np.lib.format.write_array_header_1_0(header, described)
    code = io.BytesIO()
    np.save(code, np.array([{"run": "this"}], object), allow_pickle=True)
    content = draw.choice(
        [header.getvalue() + bytes(300_000_000), header.getvalue(), code.getvalue(), b"\x93NUMPY"]
    )
    with zipfile.ZipFile(folder / "golden.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        name = draw.choice(["columns/a.npy", "../secret.txt", "/etc/passwd", "a" * 60_000])
        file.writestr(name, content)


# ---- training data ---------------------------------------------------------------------------


def parquet(draw: random.Random, folder: Path) -> None:
    """Giant columns in some bytes, cut files, and bytes that only begin like Parquet."""
    more(folder, "training_data: data.parquet\n")
    column = Array.from_numpy(np.zeros(draw.choice([10, 30_000_000]), np.float32))
    sink = io.BytesIO()
    write_parquet(Table.from_arrays([column, column], names=["a", "b"]), sink)
    content = sink.getvalue()
    if len(column) == 10:
        cut = content[: draw.randrange(len(content))]
        content = draw.choice([cut, b"PAR1" + draw.randbytes(500) + b"\xff\xff\xff\x7fPAR1"])
    (folder / "data.parquet").write_bytes(content)


def text_bombs(draw: random.Random, folder: Path) -> None:
    """CSV of one giant line, of quotes without end, of thousands of columns, of NULs."""
    more(folder, "training_data: data.csv\n")
    text = draw.choice(
        [
            "a,b\n1," + "9" * draw.randint(1_000_000, 20_000_000),
            'a,b\n1,"' + "x\n" * draw.randint(100_000, 5_000_000),
            ",".join(f"c{at}" for at in range(draw.randint(10_000, 300_000))) + "\n1\n",
            "a,b\n" + "\0" * draw.randint(1_000, 1_000_000),
            "a,a,b\n1,2,3\n",
            "\ufeff" * 1_000,
        ]
    )
    (folder / "data.csv").write_text(text, encoding="utf-8")


# ---- the folder ------------------------------------------------------------------------------


def traversal(draw: random.Random, folder: Path) -> None:
    """Training data that are said to be outside the folder."""
    (folder.parent / "secret.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    up = "/".join([".."] * draw.randint(1, 30))
    outside = ["../secret.csv", "/etc/passwd.csv", f"{up}/etc/passwd.csv", "./x/../../secret.csv"]
    name = draw.choice([*outside, "a\\0b.csv", "x" * 5_000 + ".csv"])
    more(folder, f'training_data: "{name}"\n')


def symbolic_links(draw: random.Random, folder: Path) -> None:
    place = folder / draw.choice(["model.onnx", "golden.json", "model.yaml", "notes.txt", "data"])
    place.unlink(missing_ok=True)
    aims = [
        folder.parent / "secret.txt",
        folder.parent,
        Path("/etc/passwd"),
        Path("/proc/self"),
        place,
    ]
    place.symlink_to(draw.choice(aims))


def special_files(draw: random.Random, folder: Path) -> None:
    """A pipe or a folder in place of a file."""
    place = folder / draw.choice(["model.onnx", "golden.json", "model.yaml"])
    place.unlink()
    draw.choice([os.mkfifo, os.mkdir])(place)


def pickles(draw: random.Random, folder: Path) -> None:
    name = draw.choice(["model", "..model", "golden", "x" * 200]) + draw.choice(
        [".pkl", ".PT", ".joblib"]
    )
    (folder / name).write_bytes(b"cos\nsystem\n(S'id'\ntR.")


#: kind: its function, and what its refusal says
FILES: dict[str, tuple[Any, str]] = {
    "YAML aliases": (yaml_aliases, r"model\.yaml"),
    "YAML tags": (yaml_tags, r"model\.yaml"),
    "YAML depth": (yaml_depth, r"model\.yaml"),
    "YAML size": (yaml_size, r"model\.yaml"),
    "golden JSON": (golden_text, r"golden\.json"),
    "golden archive": (golden_archive, r"golden\.npz"),
    "Parquet": (parquet, r"data\.parquet"),
    "CSV": (text_bombs, r"data\.csv"),
    "traversal": (traversal, r"folder|model\.yaml|cannot be read"),
    "symbolic links": (symbolic_links, "is a symbolic link"),
    "special files": (special_files, "expected a regular file"),
    "pickles": (pickles, "is a pickle"),
}
