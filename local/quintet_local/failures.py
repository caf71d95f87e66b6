"""Why a local AWS does not start, and the command that goes on."""

from __future__ import annotations

__all__ = ["AGAIN", "TRY", "CannotStart", "command_of"]

#: begins the line of the command
TRY = "try: "
#: the command that failed, after its file was mended
AGAIN = ""


class CannotStart(Exception):
    """The local AWS cannot start: the text says why, `command` is what to run next, or AGAIN."""

    def __init__(self, text: str, *, command: str) -> None:
        super().__init__(text)
        self.command = command


def command_of(error: Exception) -> str:
    """Return the command that goes on after an error: of a file, AGAIN."""
    return error.command if isinstance(error, CannotStart) else AGAIN
