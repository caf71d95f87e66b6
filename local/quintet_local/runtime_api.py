"""Lambda's Runtime API, as the children call it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
The first segment of the path names the environment, where Lambda has one address for each.
"""

from __future__ import annotations

from quintet_local.http1 import Request, Response
from quintet_local.plane import Plane

__all__ = ["RuntimeApi"]

_ACCEPTED = Response(202, b'{"status":"OK"}')
_NO_SUCH_REQUEST = Response(400, b'{"errorMessage":"no such request is under way"}')
_NOT_FOUND = Response(404)


class RuntimeApi:
    """Serves invocations and receives their responses."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    async def __call__(self, request: Request) -> Response:
        # /<environment>/2018-06-01/runtime/...
        _, environment_id, _, _, *path = request.target.split("/")
        environment = self._plane.environment(environment_id)
        if environment is None:
            return _NOT_FOUND
        match path:
            case ["invocation", "next"]:
                invocation = await environment.next()
                headers = [
                    ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
                    ("Lambda-Runtime-Deadline-Ms", str(invocation.deadline_ms)),
                    ("Lambda-Runtime-Invoked-Function-Arn", invocation.arn),
                    ("Lambda-Runtime-Trace-Id", _trace_id(invocation.request_id)),
                    ("Content-Type", "application/json"),
                ]
                if invocation.client_context:
                    headers.append(("Lambda-Runtime-Client-Context", invocation.client_context))
                return Response(200, invocation.payload, headers)
            case ["invocation", request_id, "response"]:
                taken = environment.respond(request_id, request.body)
                return _ACCEPTED if taken else _NO_SUCH_REQUEST
            case ["invocation", request_id, "error"]:
                taken = environment.respond(request_id, request.body, "Unhandled")
                return _ACCEPTED if taken else _NO_SUCH_REQUEST
            case ["init", "error"]:
                environment.init_failed(request.body)
                return _ACCEPTED
        return _NOT_FOUND


def _trace_id(request_id: str) -> str:
    """Build the X-Ray trace header of an invocation from its id; every invocation is sampled."""
    digits = request_id.replace("-", "")
    return f"Root=1-{digits[:8]}-{digits[8:]};Parent={digits[:16]};Sampled=1"
