"""Frozen dataclasses whose methods are written here and not generated.

Python compiles the methods of each usual dataclass when its module loads: a tenth of a cold start
for a contract's classes and all functions' settings, and another for what serving and AWS's clients
are made of. A process makes few of them. Even the fields of a class are only made when they are
first asked for. A class that is made for each request is better a usual dataclass, whose compiled
`__init__` is three times as fast.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, dataclass_transform

if TYPE_CHECKING:
    from dataclasses import Field

__all__ = ["Record", "Value"]


class _Fields:
    """Makes a dataclass of its class when the fields are first asked for, and gives way to them."""

    _lock = RLock()

    def __get__(self, instance: object, kind: type[Record]) -> dict[str, Field[Any]]:
        with self._lock:
            if kind.__dict__["__dataclass_fields__"] is self:
                dataclass(init=False, repr=False, eq=False, kw_only=True)(kind)
        found: dict[str, Field[Any]] = kind.__dict__["__dataclass_fields__"]
        return found


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
class Record:
    """A base class: its subclasses are dataclasses, for dataclasses' functions and pydantic too.

    Their fields are given by name.
    """

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls) -> None:
        cls.__dataclass_fields__ = _Fields()  # type: ignore[assignment]

    def __init__(self, **given: Any) -> None:
        values = self.__dict__
        for one in fields(self):
            name = one.name
            if name in given:
                values[name] = given.pop(name)
            elif one.default is not MISSING:
                values[name] = one.default
            elif one.default_factory is not MISSING:
                values[name] = one.default_factory()
            else:
                raise TypeError(f"{type(self).__name__} needs the argument {name}")
        if given:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(given)}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __repr__(self) -> str:
        shown = [f"{one.name}={getattr(self, one.name)!r}" for one in fields(self)]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values == other._values

    def __hash__(self) -> int:
        return hash(self._values)

    @cached_property
    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, one.name) for one in fields(self)])


@dataclass_transform(kw_only_default=False, frozen_default=True, field_specifiers=(field,))
class Value(Record):
    """A record whose fields are given by position, too."""

    def __init__(self, *given: Any, **named: Any) -> None:
        names = [one.name for one in fields(self)]
        if len(given) > len(names):
            raise TypeError(f"{type(self).__name__} has {len(names)} fields, not {len(given)}")
        for name, value in zip(names, given, strict=False):
            if name in named:
                raise TypeError(f"{type(self).__name__} got {name} twice")
            named[name] = value
        super().__init__(**named)
