"""Records behave as the frozen dataclasses that Python generates."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest

from quintet.record import Record, Value


class Ours(Record):
    """As it is written here."""

    name: str
    shape: tuple[int, ...] = ()
    about: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """As Python generates it."""

    name: str
    shape: tuple[int, ...] = ()
    about: dict[str, str] = field(default_factory=dict)


KINDS: list[Any] = [Ours, Theirs]


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_has_its_fields_and_is_compared_by_them(kind: Any) -> None:
    one = kind(name="a", shape=(1,))
    assert (one.name, one.shape, one.about) == ("a", (1,), {})
    assert one == kind(name="a", shape=(1,)) != kind(name="b", shape=(1,))
    assert one != "a"
    assert kind(name="a").about is not one.about
    assert repr(one) == f"{kind.__name__}(name='a', shape=(1,), about={{}})"


@pytest.mark.parametrize("kind", KINDS)
def test_the_functions_of_dataclasses_take_a_record(kind: Any) -> None:
    one = kind(name="a", about={"x": "y"})
    assert [each.name for each in dataclasses.fields(one)] == ["name", "shape", "about"]
    assert dataclasses.asdict(one) == {"name": "a", "shape": (), "about": {"x": "y"}}
    assert dataclasses.replace(one, name="b") == kind(name="b", about={"x": "y"})


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_is_hashed_by_its_values(kind: Any) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(kind(name="a"))
    frozen: frozenset[str] = frozenset()
    assert hash(kind(name="a", about=frozen)) == hash(kind(name="a", about=frozen))


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_is_not_changed(kind: Any) -> None:
    one = kind(name="a")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'name'"):
        one.name = "b"
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'name'"):
        del one.name


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_needs_its_fields_and_has_no_others(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"argument.*name"):
        kind(shape=())
    with pytest.raises(TypeError, match="other"):
        kind(name="a", other=1)
    with pytest.raises(TypeError, match="positional"):
        kind("a")


def test_a_record_of_a_record_has_the_fields_of_both() -> None:
    class More(Ours):
        """With a field of its own."""

        size: int = 0

    assert More(name="a", size=2) == More(name="a", size=2, shape=())
    assert More(name="a") != Ours(name="a")
    with pytest.raises(TypeError, match="needs the argument name"):
        More(size=1)  # type: ignore[call-arg]


class Point(Value):
    """With fields by position."""

    x: int
    y: int = 0
    tags: tuple[str, ...] = ()


def test_a_value_takes_its_fields_by_position_or_name() -> None:
    assert Point(1, 2) == Point(1, y=2) == Point(y=2, x=1) != Point(1)
    assert dataclasses.replace(Point(1, 2), x=3) == Point(3, 2)
    assert {Point(1): "a"}[Point(1, 0)] == "a"
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        Point(1).x = 2  # type: ignore[misc]


def test_a_value_refuses_fields_that_it_has_not_or_that_come_twice() -> None:
    with pytest.raises(TypeError, match="Point has 3 fields, not 4"):
        Point(1, 2, (), 4)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Point got x twice"):
        Point(1, x=1)  # type: ignore[misc]
    with pytest.raises(TypeError, match="needs the argument x"):
        Point(y=1)  # type: ignore[call-arg]
