"""A model package: a folder with model.yaml, model.onnx and golden rows, read once and checked."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from quintet.contract import Contract
from quintet.manifest import GRAPH, digest_of, sha256
from quintet.serving.golden import Golden
from quintet_publish.golden_files import GOLDEN_BYTES, golden_name, read_golden
from quintet_publish.model_yaml import CONTRACT, MAX_BYTES, read_contract
from quintet_publish.problems import PackageError, Problem
from quintet_publish.safety import CAPS
from quintet_publish.training_data import SUFFIXES

__all__ = ["CONTRACT", "Package", "read_file", "read_package"]

HINTS = {
    "golden.json": "fewer rows will do, or arrays in golden.npz",
    "golden.npz": "fewer rows will do",
}
PICKLES = frozenset({".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
MAX_TRAINING = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Package:
    """A package: its files, read once, its contract and its golden vectors."""

    folder: Path
    contract: Contract
    golden: Golden
    files: dict[str, bytes]

    @property
    def graph(self) -> bytes:
        """Return the content of model.onnx."""
        return self.files[GRAPH]

    @property
    def sources(self) -> dict[str, str]:
        """Return the SHA-256 of every file."""
        return {path: sha256(content) for path, content in self.files.items()}

    @property
    def digest(self) -> str:
        """Return the digest that identifies the package's content."""
        return digest_of(self.sources)


def read_package(folder: Path, reading: Callable[[str], None] = lambda name: None) -> Package:
    """Read a package and check its contract and golden vectors; its graph is checked later.

    `reading` is called with the name of each file before it is read.

    Raises:
        PackageError: a file is missing, unsafe or wrong.
    """
    if not folder.is_dir():
        raise PackageError.of(str(folder), "expected a folder with model.yaml and model.onnx")
    if problems := list(_unsafe(folder)):
        raise PackageError(problems)
    reading(CONTRACT)
    files = {CONTRACT: read_file(folder, CONTRACT, MAX_BYTES)}
    contract = read_contract(files[CONTRACT])
    reading(GRAPH)
    files[GRAPH] = read_file(folder, GRAPH, CAPS.bytes)
    name = golden_name(folder)
    reading(name)
    files[name] = read_file(folder, name, GOLDEN_BYTES[name])
    golden = read_golden(contract, name, files[name])
    if contract.training_data is not None:
        if not contract.training_data.endswith(SUFFIXES):
            text = f"expected a file ending in {' or '.join(SUFFIXES)}"
            raise PackageError([Problem(CONTRACT, text, field="training_data")])
        reading(contract.training_data)
        files[contract.training_data] = read_file(folder, contract.training_data, MAX_TRAINING)
    return Package(folder, contract, golden, files)


# ---- files -------------------------------------------------------------------------------------


def _unsafe(folder: Path) -> Iterator[Problem]:
    """Find files that a package may not hold: pickles, which can run code, and symbolic links."""
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        for name in (*folders, *files):
            found = Path(path, name)
            place = str(found.relative_to(folder))
            if found.is_symlink():
                yield Problem(place, "is a symbolic link; expected the file itself")
            elif found.suffix.lower() in PICKLES:
                yield Problem(place, "is a pickle, which can run code; Quintet reads ONNX only")


def read_file(folder: Path, name: str, max_bytes: int) -> bytes:
    """Read a regular file within the folder, of bounded size.

    Raises:
        PackageError: it is missing, not a regular file, outside the folder or too large.
    """
    path = folder / name
    try:
        inside = path.resolve(strict=True).is_relative_to(folder.resolve())
        if not inside or not stat.S_ISREG(path.lstat().st_mode):
            raise PackageError.of(name, "expected a regular file within the package's folder")
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        raise PackageError.of(name, "is missing from the package's folder") from None
    except ValueError:  # the name contains a NUL
        raise PackageError.of(CONTRACT, f"expected the path of a file, got {name[:80]!r}") from None
    except OSError as error:
        raise PackageError.of(name, f"cannot be read ({error.strerror})") from error
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        content = b"" if size > max_bytes else file.read(size + 1)
    if size > max_bytes or len(content) > size:  # or it grew meanwhile
        hint = f"; {HINTS[name]}" if name in HINTS else ""
        raise PackageError.of(name, f"expected at most {max_bytes:,} bytes{hint}")
    return content
