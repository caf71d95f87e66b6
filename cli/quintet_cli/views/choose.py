"""An answer of `quintet choose` in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from quintet_cli.choosing.answers import Answer

__all__ = ["choose_view"]


def choose_view(answer: Answer, explain: bool) -> Iterator[str]:
    """Return the lines of an answer; `explain` adds what would change it."""
    yield f"{answer.pattern.label}  ({answer.design.page})"
    yield from (f"  because {reason}" for reason in answer.reasons)
    yield "architecture"
    yield f"  {answer.design.architecture}"
    yield "resilience"
    yield from (f"  {one.what} ({one.page})" for one in answer.design.resilience)
    yield "alternatives"
    yield from (f"  {other.pattern.label}: {other.when}" for other in answer.alternatives)
    if even := answer.break_even:
        yield "break-even"
        yield (
            f"  a server of {even.tasks} tasks costs no more from {even.requests_per_second:,.1f} "
            f"requests a second, day and night, at {even.model_ms:g} ms each: about "
            f"${even.usd_month:,.2f} a month"
        )
    if explain:
        yield f"what would change it (rule `{answer.rule}`, docs/choose.md#rules)"
        yield from (f"  {flip.change}: {flip.pattern.label}" for flip in answer.flips)
    else:
        yield "--explain shows what would change the answer"
