"""How Lambda's runtime reads events and writes answers: by orjson instead of simplejson.

awslambdaric lets a function replace the `marshaller` of its client:
https://github.com/aws/aws-lambda-python-runtime-interface-client, lambda_runtime_client.py.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

import orjson

__all__ = ["Marshaller", "use_orjson"]

JSON = "application/json"


class Marshaller(Protocol):
    """awslambdaric's interface."""

    def unmarshal_request(self, request: bytes, content_type: str = JSON) -> Any:
        """The event of an invocation."""
        ...

    def marshal_response(self, response: Any) -> tuple[str | bytes, str]:
        """What an invocation answers, and its content type."""
        ...


class OrjsonMarshaller:
    """Leaves what orjson refuses to the runtime's own marshaller: half of a surrogate pair in a
    text, which it reads, and what it refuses too, for which it has the runtime's errors."""

    def __init__(self, own: Marshaller) -> None:
        self._own = own

    def unmarshal_request(self, request: bytes, content_type: str = JSON) -> Any:
        """See `Marshaller.unmarshal_request`."""
        if content_type == JSON:
            try:
                return orjson.loads(request)
            except orjson.JSONDecodeError:
                pass
        return self._own.unmarshal_request(request, content_type)

    def marshal_response(self, response: Any) -> tuple[str | bytes, str]:
        """See `Marshaller.marshal_response`."""
        try:
            return orjson.dumps(response), JSON
        except orjson.JSONEncodeError:
            return self._own.marshal_response(response)


def use_orjson() -> None:
    """Replace the marshaller of Lambda's runtime; without that runtime, do nothing."""
    client: Any = sys.modules.get("awslambdaric.lambda_runtime_client")
    runtime = getattr(client, "LambdaRuntimeClient", None)
    if runtime is not None:
        runtime.marshaller = OrjsonMarshaller(runtime.marshaller)
