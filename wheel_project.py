"""Puts the project into the wheel, below quintet_cli/project: what `quintet up`, `demo` and `new`
need without a clone. The layer's source is not among it: that is the installed package itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: files and folders of the project that the wheel has
PARTS = (
    *("template.yaml", "samconfig.toml", "events", "functions", "layers/quintet/Makefile"),
    *("layers/wheels", "models", "statemachines"),
)
#: what only training reads
LEFT_OUT = ("models/candidates/data/purchases.parquet", "models/digits")


def project_files(root: Path) -> Iterator[str]:
    """The files of the project, relative to its folder."""
    for part in PARTS:
        found = root / part
        for path in sorted(found.rglob("*")) if found.is_dir() else [found]:
            name = path.relative_to(root).as_posix()
            if path.is_file() and "__pycache__" not in name and not name.startswith(LEFT_OUT):
                yield name


class ProjectHook(BuildHookInterface[Any]):
    """Called by hatchling when it builds the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files; an editable installation has them in the clone."""
        if version == "standard":
            root = Path(self.root)
            files = {
                str(root / name): f"quintet_cli/project/{name}" for name in project_files(root)
            }
            build_data["force_include"] |= files
