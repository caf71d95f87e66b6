"""Text that is not UTF-8: each command that reads a file of the user's says how to convert it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.kits.packages import contract, package

from quintet_cli import feature_files, label_files, stream_files
from quintet_cli.advice import next_command
from quintet_cli.commands.predict import read_records
from quintet_cli.run_starter import check_text
from quintet_cli.stock_files import read_item_numbers
from quintet_publish.init.table import read_sample
from quintet_publish.problems import PackageError
from quintet_publish.release import prepare
from quintet_publish.text_files import NotUtf8, read_text

TEXT = "a,län\n1,2\n"
STORED = replace(
    contract(),
    entity="id",
    features=tuple(replace(one, source="store") for one in contract().features),
)

READERS: dict[str, Callable[[Path], object]] = {
    "init m.onnx": read_sample,
    "features load": lambda path: feature_files.read(STORED, path, 0.0),
    "labels load": label_files.read_labels,
    "stream send": lambda path: stream_files.read_records(path, contract(), None),
    "candidates stock": lambda path: read_item_numbers(str(path)),
    "predict m --records": lambda path: read_records(str(path)),
    "drop": lambda path: check_text(path, named=True),
}


@pytest.mark.parametrize("words", READERS)
def test_a_command_converts_the_file_and_goes_on(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my data.csv").write_bytes(TEXT.encode("latin-1"))
    with pytest.raises(NotUtf8) as refused:
        READERS[words](Path("my data.csv"))
    assert str(refused.value) == (
        "my data.csv: expected text in UTF-8, got another encoding, LATIN1 perhaps"
    )
    assert next_command(refused.value, [*words.split(), "./my data.csv"]) == (
        "iconv -f LATIN1 -t UTF-8 'my data.csv' > 'my data.utf8.csv' && "
        f"quintet {words} 'my data.utf8.csv'"
    )


@pytest.mark.skipif(shutil.which("iconv") is None, reason="needs iconv")
@pytest.mark.parametrize(
    ("encoding", "form", "text"),
    [
        ("utf-16", "UTF-16", TEXT),
        ("latin-1", "LATIN1", TEXT),
        ("cp1252", "CP1252", "a,“län”\n€1,2\n"),
        ("latin-1", "LATIN1", "a,\x81\x80\n1,2\n"),
    ],
)
def test_the_command_makes_the_text_of_it(
    encoding: str, form: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my data.csv").write_bytes(text.encode(encoding))
    with pytest.raises(NotUtf8) as refused:
        read_text(Path("my data.csv"))
    assert refused.value.form == form
    convert, _, rest = next_command(refused.value, ["drop", "my data.csv"]).partition(" && ")
    subprocess.run(convert, shell=True, check=True, timeout=60)
    assert read_text(Path(shlex.split(rest)[-1])) == text


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT.encode("utf-8-sig"))
    assert read_text(tmp_path / "a.csv") == TEXT


@pytest.mark.parametrize(
    ("content", "named", "note"),
    [
        (b"a,b\n1,l\xe4n\n", True, "LATIN1"),
        (b"1,l\xe4n\n2,x\n", False, "LATIN1"),
        (TEXT.encode(), True, ""),
        (TEXT.encode("utf-8-sig"), True, ""),
        (b"a\n" + "ä\n".encode() * 400_000, True, ""),
        (b"a\n" + "aä\n".encode() * 400_000, True, ""),
    ],
    ids=["row", "headless", "utf-8", "mark", "long", "cut"],
)
def test_rows_of_a_dropped_file_are_noted_before_it_is_uploaded(
    content: bytes, named: bool, note: str, tmp_path: Path
) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    found = check_text(path, named=named)
    assert found == (
        f"rows that are not in UTF-8 are quarantined; `iconv -f {note} -t UTF-8 {path}` prints the "
        "file in UTF-8"
        if note
        else ""
    )
    path.rename(tmp_path / "in.parquet")
    assert check_text(tmp_path / "in.parquet", named=named) == ""


def test_training_data_in_another_encoding_is_told(tmp_path: Path) -> None:
    folder = package(tmp_path / "m", extra="training_data: data.csv\n")
    (folder / "data.csv").write_bytes("a,b,län\n1,2,3\n".encode("latin-1"))
    with pytest.raises(PackageError, match=r"UTF-8; `iconv -f LATIN1 -t UTF-8 data\.csv` prints"):
        prepare(folder, lambda *_: None)
