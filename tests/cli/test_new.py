"""`quintet new` writes a project whole, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from quintet_cli import project


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package's copy of a small project."""
    folder = tmp_path / "shipped"
    (folder / "functions/predict/__pycache__").mkdir(parents=True)
    (folder / "functions/predict/__pycache__/app.pyc").touch()
    (folder / "functions/predict/app.py").touch()
    (folder / "template.yaml").write_text("Resources: {}")
    monkeypatch.setattr(project, "_SHIPPED", folder)
    return folder


def test_a_project_has_the_layers_source_and_the_packages_version(
    shipped: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    project.write_project(folder)
    assert (folder / "template.yaml").read_text() == "Resources: {}"
    assert [path.name for path in (folder / "functions/predict").iterdir()] == ["app.py"]
    assert (folder / "layers/quintet/quintet/errors.py").exists()
    assert not [*folder.rglob("__pycache__")]
    assert project.outdated(folder) is None


def test_a_full_disk_leaves_nothing(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_text("half of it")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(OSError, match="No space left"):
        project.write_project(tmp_path / "shop")
    assert not (tmp_path / "shop").exists()
