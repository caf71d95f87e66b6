"""A caller that was verified, and the refusal of one that was not."""

from __future__ import annotations

from dataclasses import dataclass

from quintet.errors import QuintetError

__all__ = ["RESERVED", "Caller", "Refused"]

#: the name that stands for nobody in log lines and jobs
RESERVED = "anonymous"


class Refused(QuintetError):
    """The key or token is not accepted.

    API Gateway puts the text between the quotes of its JSON answer: it has no quote, backslash or
    value that a request chose.
    """


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified caller.

    `models` are those that it may ask, empty for all. `plan_key` names the usage plan with its
    rate; empty for the plan that callers without a rate share.
    """

    name: str
    models: tuple[str, ...] = ()
    plan_key: str = ""
