"""What `make test-built` has built, and what it may weigh and need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from tests.kits.local_aws import ROOT

from quintet_local.functions import Function
from quintet_local.plan import plan
from quintet_local.stack import describe
from quintet_local.template import load

__all__ = ["ARCHITECTURES", "MB", "Built", "TooLarge", "built", "check_size", "needs"]

ARCHITECTURES = ("x86_64", "arm64")
MB = 1_000_000
#: versions of Amazon Linux 2023's libraries, https://docs.aws.amazon.com/linux/al2023/ug/glibc.html
NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (11, 0, 0)}
#: the parameters that attach the layers which are not attached by default
WITH_EVERY_LAYER = {
    "SealedCaptures": "on",
    "ApiAuth": "jwt",
    "JwtIssuer": "https://issuer.example",
    "JwtAudience": "quintet",
}


@dataclass(frozen=True)
class Built:
    """The artefacts of one architecture; functions by their logical id."""

    architecture: str
    folder: Path
    functions: dict[str, Function]

    def layer(self, name: str) -> Path:
        """The folder of a layer, by its logical id."""
        return self.folder / name


@cache
def built(architecture: str) -> Built:
    """What was built for an architecture.

    Raises:
        FileNotFoundError: nothing was.
    """
    folder = ROOT / ".aws-sam" / architecture / "build"
    if not (folder / "template.yaml").exists():
        raise FileNotFoundError(f"{folder}: nothing is built; `make test-built` builds and tests")
    template = load(folder / "template.yaml", WITH_EVERY_LAYER)
    stack = describe(plan(template, "http://127.0.0.1:1"), folder)
    return Built(architecture, folder, {f.logical_id: f for f in stack.functions.values()})


class TooLarge(AssertionError):
    """A gate that measured too much."""


def check_size(what: str, folders: Iterable[Path], limit: int) -> int:
    """How many bytes the files below the folders hold together.

    Raises:
        TooLarge: more than `limit`; names the largest packages.
    """
    packages: Counter[str] = Counter()
    for folder in folders:
        for path in _files(folder):
            inside = path.relative_to(folder).parts
            package = "/".join(inside[:2]) if inside[0] == "python" else inside[0]
            packages[f"{folder.name}/{package}"] += path.stat().st_size
    total = packages.total()
    if total > limit:
        largest = ", ".join(f"{name} {size / MB:.1f}" for name, size in packages.most_common(8))
        raise TooLarge(
            f"{what} is {total / MB:.1f} MB unzipped, expected at most {limit / MB:.1f}; "
            f"the largest are {largest}"
        )
    return total


def needs(library: Path) -> tuple[str, list[str]]:
    """A shared library's machine, and the versions it needs that the runtime does not have."""
    with library.open("rb") as stream:
        elf = ELFFile(stream)
        wanted = [
            version.name
            for section in elf.iter_sections()
            if isinstance(section, GNUVerNeedSection)
            for _, versions in section.iter_versions()
            for version in versions
        ]
        return elf["e_machine"], [name for name in wanted if not _has(name)]


def _has(version: str) -> bool:
    family, _, number = version.partition("_")
    newest = NEWEST.get(family)
    if newest is None or not number[:1].isdigit():
        return True  # a library's own versions, or a set of names such as GLIBC_PRIVATE
    return tuple(map(int, number.split("."))) <= newest


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
