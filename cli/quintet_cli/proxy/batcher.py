"""Collects requests that may be combined for a short time, and sends them in one call."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field

from quintet_cli.proxy.instances_form import InstancesForm
from quintet_cli.proxy.messages import Answer, Asked
from quintet_cli.proxy.oip_form import OipForm
from quintet_cli.proxy.pieces import ApartError, Form, Piece, may_combine, shared
from quintet_cli.proxy.records_form import EndpointForm, RecordsForm

__all__ = ["MAX_BYTES", "Batcher"]

#: bytes of a combined request, at most; a request of more is not small
MAX_BYTES = 1_000_000

FORMS: Sequence[Form] = (RecordsForm(), OipForm(), EndpointForm(), InstancesForm())

#: a combined request is refused with these for a row of it, or for its size
_REFUSED = (400, 413, 415, 422, 424)
_TOO_LARGE = 413


@dataclass(slots=True)
class _Learnt:
    """What the answers of a path have shown. It decides what is combined, never what is right:
    a combined answer that does not come apart is asked for again, request by request.

    `routed`: the version depends on the entity. `cached`: the contract caches whole requests, of
    which combined ones repeat none. `captured`: labels name rows by the event of their request.
    """

    most_rows: int
    routed: bool = False
    cached: bool = False
    captured: bool = False

    def learn(self, answer: Answer) -> None:
        """Take what an answer says."""
        if answer.status == 200:
            self.routed = "x-quintet-routed" in answer.headers
            self.cached = "x-quintet-cache" in answer.headers
            self.captured = self.captured or "x-quintet-event" in answer.headers

    def allows(self, piece: Piece) -> bool:
        """Whether a request may be combined with others."""
        return (
            piece.rows < self.most_rows
            and not self.cached
            and (piece.form.by_row or not self.routed)
            and (piece.rows == 1 or not self.captured)
        )


@dataclass(slots=True)
class _Waiting:
    """Requests of one key that wait for more, and the futures of their answers."""

    timer: asyncio.TimerHandle
    members: list[tuple[Piece, asyncio.Future[Answer]]] = field(default_factory=list)
    rows: int = 0
    size: int = 0


class Batcher:
    """Sends requests by `send`, those that may be combined together.

    A request waits up to `seconds` for others; a batch goes out as soon as it has `rows` rows.
    A caller that goes away takes its rows along if they have not been sent.
    """

    def __init__(
        self, send: Callable[[Asked], Awaitable[Answer]], *, seconds: float, rows: int
    ) -> None:
        self._send = send
        self._seconds = seconds
        self._learnt: dict[str, _Learnt] = defaultdict(lambda: _Learnt(rows))
        self._waiting: dict[Hashable, _Waiting] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, asked: Asked) -> Answer:
        """Answer a request: by itself, or as part of a combined one."""
        piece = self._piece(asked)
        if piece is None:
            return await self._send(asked)
        if not self._of(piece).allows(piece):
            return await self._alone(piece)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._join(piece, future)
        return await future

    def _piece(self, asked: Asked) -> Piece | None:
        if not self._seconds or len(asked.body) > MAX_BYTES or not may_combine(asked):
            return None
        return next(filter(None, (form.read(asked) for form in FORMS)), None)

    def _of(self, piece: Piece) -> _Learnt:
        return self._learnt[piece.asked.path]

    async def _alone(self, piece: Piece) -> Answer:
        answer = await self._send(piece.asked)
        self._of(piece).learn(answer)
        return answer

    def _join(self, piece: Piece, future: asyncio.Future[Answer]) -> None:
        """Let a request wait with the others of its key."""
        key, most = piece.key, self._of(piece).most_rows
        size = len(piece.asked.body)
        found = self._waiting.get(key)
        if found and (found.rows + piece.rows > most or found.size + size > MAX_BYTES):
            self._flush(key)
            found = None
        if found is None:
            loop = asyncio.get_running_loop()
            found = self._waiting[key] = _Waiting(loop.call_later(self._seconds, self._flush, key))
        found.members.append((piece, future))
        found.rows += piece.rows
        found.size += size
        if found.rows >= most:
            self._flush(key)

    def _flush(self, key: Hashable) -> None:
        """Send the waiting requests of a key whose callers are still there."""
        waiting = self._waiting.pop(key)
        waiting.timer.cancel()
        members = [(piece, future) for piece, future in waiting.members if not future.done()]
        if members:
            task = asyncio.get_running_loop().create_task(self._settle(members))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _settle(self, members: Sequence[tuple[Piece, asyncio.Future[Answer]]]) -> None:
        """Answer requests, whatever happens."""
        try:
            await self._answer_together(members)
        except Exception as error:
            for _, future in members:
                if not future.done():
                    future.set_exception(error)

    async def _answer_together(
        self, members: Sequence[tuple[Piece, asyncio.Future[Answer]]]
    ) -> None:
        """Answer requests by one call. If it is refused, its halves go out by themselves, until
        the refused requests are alone and get the API's own refusal."""
        pieces = [piece for piece, _ in members]
        if len(pieces) == 1:
            _give(members[0][1], await self._alone(pieces[0]))
            return
        form, learnt = pieces[0].form, self._of(pieces[0])
        answer = await self._send(form.merge(pieces))
        if answer.status in _REFUSED:
            if answer.status == _TOO_LARGE:
                learnt.most_rows = max(1, sum(piece.rows for piece in pieces) // 2)
            half = len(members) // 2
            await asyncio.gather(self._settle(members[:half]), self._settle(members[half:]))
            return
        learnt.learn(answer)
        parts: list[Answer | None]
        try:
            parts = form.part(pieces, answer) if answer.status == 200 else shared(pieces, answer)
        except ApartError:
            parts = [None] * len(pieces)
        again = []
        for (piece, future), part in zip(members, parts, strict=True):
            if part is None:
                again.append((piece, future))
            else:
                _give(future, part)
        await asyncio.gather(*(self._settle([one]) for one in again))


def _give(future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():  # its caller may have gone
        future.set_result(answer)
