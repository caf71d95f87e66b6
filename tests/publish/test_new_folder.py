"""A folder that is written whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.errors import Conflict
from quintet_publish.new_folder import new_folder


def written(folder: Path, error: BaseException, *, kept: tuple[type[Exception], ...] = ()) -> None:
    with new_folder(folder, "--out", kept=kept):
        (folder / "part").mkdir()
        (folder / "part" / "file").write_text("x")
        (folder / "file").write_text("x")
        raise error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("empty", [True, False])
def test_what_fails_leaves_the_folder_as_it_was(
    tmp_path: Path, error: BaseException, empty: bool
) -> None:
    folder = tmp_path / "made" / "here"
    if empty:
        folder.mkdir(parents=True)
    with pytest.raises(type(error)):
        written(folder, error)
    assert ([*folder.iterdir()] == []) if empty else not folder.exists()
    with new_folder(folder, "--out"):
        (folder / "file").write_text("x")
    assert (folder / "file").exists()


def test_what_is_to_be_mended_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mend it"):
        written(tmp_path / "here", ValueError("mend it"), kept=(ValueError,))
    assert (tmp_path / "here/part/file").exists()


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(Conflict, match="--out: expected a folder that is empty"):
        written(tmp_path, OSError())
    assert (tmp_path / "mine").exists()
