"""The project: template.yaml, functions, state machines, and the example models.

A clone has it, and so has a folder that `quintet new` wrote. The wheel has a copy below project/,
which commands use where there is no template.yaml.
"""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

import quintet
from quintet.errors import NotFound
from quintet_cli.stacks import StageError
from quintet_publish.new_folder import new_folder

__all__ = ["is_shipped", "outdated", "project_folder", "write_project"]

PACKAGE = "quintet-serving"
TEMPLATE = "template.yaml"
#: says which version of the package wrote a folder
VERSION_FILE = ".quintet-version"
_SHIPPED = Path(__file__).with_name("project")


def project_folder() -> Path:
    """The folder of the project: the current one, or the package's copy.

    Raises:
        NotFound: there is neither.
    """
    if Path(TEMPLATE).exists():
        return Path()
    if _SHIPPED.is_dir():
        return _SHIPPED
    raise NotFound.of(TEMPLATE, "a clone of Quintet, or a folder made by `quintet new`", "none")


def is_shipped(folder: Path) -> bool:
    """Whether a project's folder is the package's copy."""
    return folder == _SHIPPED


def outdated(folder: Path) -> str | None:
    """What to do if a folder was written by another version of the package; None if it was not."""
    try:
        written = (folder / VERSION_FILE).read_text(encoding="utf-8").strip()
    except FileNotFoundError:  # a clone
        return None
    installed = version(PACKAGE)
    if written == installed:
        return None
    return (
        f"this folder was written by quintet {written}, and {installed} is installed: "
        f"to write the project of {installed}, to compare or take over: `quintet new DIR`"
    )


def write_project(folder: Path) -> None:
    """Write the project into a new folder, with the layer's source: the installed package.

    Raises:
        Conflict: the folder is not empty.
        StageError: this is a clone, which has the project already.
    """
    if not _SHIPPED.is_dir():
        raise StageError(
            "this is an installation from a clone: the clone is the project",
            command="quintet up --detach",
        )
    with new_folder(folder, "DIR"):
        _copy(_SHIPPED, folder)
        _copy(Path(quintet.__file__).parent, folder / "layers/quintet/quintet")
        (folder / VERSION_FILE).write_text(f"{version(PACKAGE)}\n", encoding="utf-8")


def _copy(source: Path, folder: Path) -> None:
    for path in source.rglob("*"):
        inside = path.relative_to(source)
        if path.is_file() and "__pycache__" not in inside.parts:
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, folder / inside)
