"""The API's port: turns HTTP requests into calls of the Lambda plane, and results into HTTP."""

from __future__ import annotations

import asyncio
import json
import uuid

from quintet_local import rest_api
from quintet_local.http1 import Request, Response
from quintet_local.plane import Plane, Throttled, TooLarge
from quintet_local.stack import Api

__all__ = ["Gateway"]


class Gateway:
    """Serves one REST API. Its routes are at the root and, as on AWS, under the stage's name."""

    def __init__(
        self,
        plane: Plane,
        api: Api,
        time_limit: float = rest_api.TIME_LIMIT,
    ) -> None:
        self._plane = plane
        self._api = api
        self._router = rest_api.Router(api.routes)
        self._time_limit = time_limit

    async def __call__(self, request: Request) -> Response:
        target, _, query = request.target.partition("?")
        path = "/" + target.lstrip("/") if target.startswith("/") else target
        match = self._router.match(request.method, path)
        prefix = f"/{self._api.stage}"
        if match is None and (path == prefix or path.startswith(prefix + "/")):
            path = path[len(prefix) :] or "/"
            match = self._router.match(request.method, path)
        request_id = str(uuid.uuid4())
        if match is None:
            response = rest_api.MISSING_TOKEN
        else:
            response = await self._call(request, match, path, query, request_id)
        ids = [("x-amzn-RequestId", request_id), ("x-amz-apigw-id", request_id)]
        if response in rest_api.ERRORS:
            kind = f"DEFAULT_{response.status // 100}XX"
            ids += self._api.error_headers.get(kind, {}).items()
        return Response(response.status, response.body, response.headers + ids)

    async def _call(
        self, request: Request, match: rest_api.Match, path: str, query: str, request_id: str
    ) -> Response:
        event = rest_api.proxy_event(
            request,
            match,
            path=path,
            query=query,
            stage=self._api.stage,
            api_id=self._api.api_id,
            request_id=request_id,
            binary=rest_api.is_binary(request.header("content-type"), self._api.binary_types),
            variables=self._api.variables,
        )
        payload = json.dumps(event, ensure_ascii=False).encode("utf-8", "replace")
        call = self._plane.invoke(match.route.function_arn, payload)
        try:
            outcome = await asyncio.wait_for(call, self._time_limit)
        except TimeoutError:
            return rest_api.TIMED_OUT
        except TooLarge:
            return rest_api.TOO_LARGE
        except Throttled:
            return rest_api.SERVER_ERROR
        if outcome.error is not None:
            return rest_api.BAD_GATEWAY
        try:
            return rest_api.proxy_response(outcome.payload)
        except rest_api.MalformedAnswer:
            return rest_api.BAD_GATEWAY
