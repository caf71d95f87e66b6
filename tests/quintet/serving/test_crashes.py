"""A version that ends its environment's process again and again is refused there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.kits.models import Clock
from tests.quintet.serving.test_model_cache import MB, Loaded, MemoryLoader, route

from quintet.errors import Transient
from quintet.serving.crashes import Crash, CrashLog
from quintet.serving.model_cache import ModelCache, memory_needed
from quintet.serving.routes import MemoryRoutes

REFUSED = (
    "model m version 1 ended the process of this execution environment 3 times in 10 minutes (out "
    "of memory, a time-out, or a crash in native code); it is tried again later. Look into "
    "predict's log, or promote another version"
)


def crash(file: Path, clock: Clock, model: str = "m", version: int = 1) -> None:
    """A process that ends while the version runs; dropping its log unlocks the file, as its end."""
    log = CrashLog(clock, file)
    log.running[log.slot(model, version)] = 1


def found(file: Path, clock: Clock) -> list[Crash]:
    return CrashLog(clock, file).found


def refusal(file: Path, clock: Clock, version: int = 1) -> tuple[str, int] | None:
    """The text and the seconds of a refusal; the file is unlocked again."""
    try:
        CrashLog(clock, file).check("m", version)
    except Transient as error:
        return str(error), error.retry_after
    return None


def test_the_third_crash_within_the_window_refuses_the_version_until_the_window_ends(
    tmp_path: Path,
) -> None:
    file, clock = tmp_path / "crashes", Clock()
    for count in (1, 2, 3):
        assert refusal(file, clock) is None
        crash(file, clock)
        clock.now += 100
        assert found(file, clock) == [Crash("m", 1, count)]
    assert refusal(file, clock) == (REFUSED, 600)
    assert found(file, clock) == []  # a crash is counted once
    assert refusal(file, clock, version=2) is None
    clock.now += 599
    assert refusal(file, clock) == (REFUSED, 1)
    clock.now += 1
    assert refusal(file, clock) is None


def test_crashes_far_from_each_other_refuse_nothing(tmp_path: Path) -> None:
    file, clock = tmp_path / "crashes", Clock()
    for count in (1, 2, 2, 2):
        crash(file, clock)
        assert found(file, clock) == [Crash("m", 1, count)]
        clock.now += 301
    CrashLog(clock, file).check("m", 1)


def test_an_end_between_runs_is_nobodys(tmp_path: Path) -> None:
    file, clock = tmp_path / "crashes", Clock()
    log = CrashLog(clock, file)
    log.running[log.slot("m", 1)] = 1
    log.running[log.slots["m", 1]] = 0
    del log
    assert found(file, clock) == []


def test_a_file_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    file, clock = tmp_path / "crashes", Clock()
    alive = CrashLog(clock, file)
    alive.running[alive.slot("m", 1)] = 1
    assert found(file, clock) == []
    assert alive.running[alive.slots["m", 1]] == 1


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 100_000])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    file, clock = tmp_path / "crashes", Clock()
    file.write_bytes(content)
    crash(file, clock)
    assert found(file, clock) == [Crash("m", 1, 1)]


def test_without_a_place_for_the_file_versions_run(tmp_path: Path) -> None:
    clock = Clock()
    crash(tmp_path / "absent/crashes", clock)
    assert found(tmp_path / "absent/crashes", clock) == []


def test_with_more_versions_than_slots_crashes_are_remembered(tmp_path: Path) -> None:
    file, clock = tmp_path / "crashes", Clock()
    crash(file, clock)
    log = CrashLog(clock, file)
    for version in range(1, 400):
        log.slot("other", version)
    assert log.slots["m", 1] == 1
    assert len(log.slots) == len(set(log.slots.values())) == 255
    assert log.slots["other", 399] > 1


def models(file: Path, clock: Clock, loader: MemoryLoader, memory: int = 100 * MB) -> ModelCache:
    routes = MemoryRoutes([route("m"), route("other")])
    log = CrashLog(clock, file)
    return ModelCache(routes, loader, memory=memory, clock=clock, crashes=log)


def test_a_refused_version_is_not_loaded_and_drops_no_other(tmp_path: Path) -> None:
    file, clock, loader = tmp_path / "crashes", Clock(), MemoryLoader()
    for _ in range(3):
        crash(file, clock)
    served = models(file, clock, loader, memory=memory_needed(MB))  # room for one
    assert served.get("other") == Loaded("other", 1)
    with pytest.raises(Transient, match="model m version 1 ended the process"):
        served.get("m")
    assert served.in_memory() == [("other", 1)]
    assert served.get("m", 2) == Loaded("m", 2)
    assert [name for name, *_ in loader.loads] == ["other", "m"]
    clock.now += 601
    assert served.get("m") == Loaded("m", 1)


def test_a_load_that_ends_the_process_counts(tmp_path: Path) -> None:
    file, clock = tmp_path / "crashes", Clock()

    class Killer(MemoryLoader):
        def load(self, model: str, version: int, seal: str | None = None) -> Loaded:
            copy.write_bytes(file.read_bytes())
            return super().load(model, version, seal)

    copy = tmp_path / "as it was during the load"
    models(file, clock, Killer()).get("m", 2)
    assert found(copy, clock) == [Crash("m", 2, 1)]
    assert found(file, clock) == []
