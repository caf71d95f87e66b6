"""The bytes of a file: ranges, gzip unpacked while reading, bounded memory."""

from __future__ import annotations

import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, TypeVar, cast

from quintet.errors import BadInput
from quintet.formats.parquet import Footer, View, extent
from quintet.formats.projection import Projection
from quintet.formats.sources import ByteSource

__all__ = ["parquet_file", "side_by_side", "text_blocks", "unpacked"]

T = TypeVar("T")
R = TypeVar("R")

#: the bytes of one ranged read
STEP = 1 << 22
#: how many ranges are read ahead at once
READERS = 2
#: the maximum size of an unpacked gzip: it is one unit, which must fit one invocation
MAX_UNPACKED = 1 << 29
#: row groups up to this size stay in memory, larger ones go to a file
IN_MEMORY = 128 << 20


def ranges(source: ByteSource, start: int, end: int) -> Iterator[bytes]:
    """The bytes from `start` to `end`, in reads of `STEP`.

    The following ranges are read ahead: a store answers while a block is scored.
    """

    def read(at: int) -> bytes:
        return source.read(at, min(at + STEP, end))

    starts = range(start, end, STEP)
    return side_by_side(read, starts, READERS) if len(starts) > 1 else map(read, starts)


def text_blocks(
    source: ByteSource, gzip: bool, start: int, end: int | None = None
) -> Iterator[bytes]:
    """The (unpacked) bytes of a text file from `start` to `end`, block by block.

    Raises:
        BadInput: the gzip is damaged, or the file was changed.
    """
    if not gzip:
        yield from ranges(source, start, source.size if end is None else end)
        return
    at = 0
    for block in unpacked(ranges(source, 0, source.size)):
        if piece := block[max(0, start - at) : None if end is None else max(0, end - at)]:
            yield piece
        at += len(block)
        if end is not None and at >= end:
            return


def unpacked(blocks: Iterable[bytes], *, partial: bool = False) -> Iterator[bytes]:
    """The content of a gzip, in blocks of bounded size. `partial` accepts a truncated stream.

    Raises:
        BadInput: the gzip is damaged or truncated, or unpacks to more than `MAX_UNPACKED`.
    """
    total = 0
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for block in blocks:
            left = block
            while left:
                if unpacker.eof:  # another member of the same gzip; padding may follow
                    left = left.lstrip(b"\0")
                    if not left:
                        break
                    unpacker = zlib.decompressobj(wbits=31)
                out = unpacker.decompress(left, STEP)
                total += len(out)
                if total > MAX_UNPACKED:
                    most = f"a gzip of at most {MAX_UNPACKED >> 20} MiB unpacked"
                    raise BadInput.of("the file", most, "more; drop it unpacked, or as Parquet")
                if out:
                    yield out
                left = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
        if not unpacker.eof and (rest := unpacker.flush()):
            yield rest
    except zlib.error:
        raise BadInput.of("the file", "a whole gzip", "a damaged one") from None
    if not unpacker.eof and not partial:
        raise BadInput.of("the file", "a whole gzip", "a truncated one")


@contextmanager
def parquet_file(
    source: ByteSource, footer: Footer, part: Projection, consumed: Callable[[], int] = int
) -> Iterator[IO[bytes]]:
    """A file of only some of its row groups and columns.

    What is before the position `consumed` in the file is not read again, and need not be held.
    """
    start, end = extent(part.groups)
    blocks = ranges(source, start, end)
    if end - start <= IN_MEMORY:
        held = _Blocks(blocks, lambda: consumed() - start)
        try:
            yield cast(IO[bytes], View(held, start, footer.start, part.tail))
        except BadInput:  # arro3's reader raises this for every error, including a store's
            if held.failed is None:
                raise
            raise held.failed from None
        return
    with tempfile.TemporaryFile() as body:
        body.writelines(blocks)
        yield cast(IO[bytes], View(body, start, footer.start, part.tail))


class _Blocks:
    """Blocks of `STEP` bytes (the last may be shorter) as a file, without copying.

    A block is fetched when it is first read, and those before the position `consumed` are forgotten
    then; `failed` is the error of fetching one.
    """

    def __init__(self, blocks: Iterator[bytes], consumed: Callable[[], int]) -> None:
        self._coming = blocks
        self._consumed = consumed
        self._blocks: dict[int, bytes] = {}
        self._fetched = 0
        self._at = 0
        self.failed: Exception | None = None

    def seek(self, at: int, /) -> int:
        self._at = at
        return at

    def read(self, size: int, /) -> bytes:
        pieces = []
        while size > 0:
            number, offset = divmod(self._at, STEP)
            piece = self._block(number)[offset : offset + size]
            if not piece:
                break
            pieces.append(piece)
            self._at += len(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _block(self, number: int) -> bytes:
        """A block, empty after the last one."""
        try:
            if number < 0:  # a damaged footer says that a page is before its row group
                raise BadInput.of("the file", "Parquet, whole", "a page outside its row group")
            while self._fetched <= number and (block := next(self._coming, None)) is not None:
                for done in range(min(self._blocks, default=0), self._consumed() // STEP):
                    self._blocks.pop(done, None)
                self._blocks[self._fetched] = block
                self._fetched += 1
            return b"" if number >= self._fetched else self._blocks[number]
        except Exception as error:
            self.failed = error
            raise


def side_by_side(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """The results of `work` for each item, in order, from so many threads.

    One more item is prepared ahead, so that no thread waits.
    """
    going: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads, "worker") as pool:
        try:
            for item in items:
                going.append(pool.submit(work, item))
                if len(going) > threads:
                    yield going.popleft().result()
            while going:
                yield going.popleft().result()
        finally:
            for one in going:
                one.cancel()
