"""AWS's event stream encoding, read by botocore."""

from __future__ import annotations

from typing import Any

from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from quintet.protocols.event_stream import message


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.text(min_size=1, max_size=30), st.text(max_size=300), max_size=4),
            st.binary(max_size=2000),
        ),
        max_size=3,
    )
)
def test_botocore_reads_the_messages_that_were_written(
    messages: list[tuple[dict[str, str], bytes]],
) -> None:
    buffer: Any = EventStreamBuffer()  # its stubs know headers of numbers alone
    buffer.add_data(b"".join(message(headers, payload) for headers, payload in messages))
    assert [(found.headers, found.payload) for found in buffer] == messages
