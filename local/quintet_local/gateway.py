"""The API's port: turns HTTP requests into calls of the Lambda plane, and results into HTTP."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from quintet_local import api_errors, rest_api
from quintet_local.api_errors import Failed
from quintet_local.authorizers import (
    Authorizer,
    Identified,
    MalformedPolicy,
    decided,
    question,
    signer,
)
from quintet_local.environment import Outcome
from quintet_local.http1 import Request, Response
from quintet_local.plane import Plane, Throttled, TooLarge
from quintet_local.stack import Api
from quintet_local.usage_plans import UsagePlans

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
        self._plans = UsagePlans(api.api_id, api.plans, time.monotonic)

    async def __call__(self, request: Request) -> Response:
        target, _, query = request.target.partition("?")
        path = "/" + target.lstrip("/") if target.startswith("/") else target
        match = self._router.match(request.method, path)
        prefix = f"/{self._api.stage}"
        if match is None and (path == prefix or path.startswith(prefix + "/")):
            path = path[len(prefix) :] or "/"
            match = self._router.match(request.method, path)
        request_id = str(uuid.uuid4())
        said: dict[str, Any] = {}  # by the authoriser
        try:
            if match is None:
                raise Failed(api_errors.MISSING_TOKEN)
            event = self._event(request, match, path, query, request_id)
            response = await self._answer(request, match.route, query, event, said)
        except Failed as failed:
            response = failed.error.response(self._api.responses, said)
        ids = [("x-amzn-RequestId", request_id), ("x-amz-apigw-id", request_id)]
        return Response(response.status, response.body, response.headers + ids)

    def _event(
        self, request: Request, match: rest_api.Match, path: str, query: str, request_id: str
    ) -> dict[str, Any]:
        return rest_api.proxy_event(
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

    async def _answer(
        self,
        request: Request,
        route: rest_api.Route,
        query: str,
        event: dict[str, Any],
        said: dict[str, Any],
    ) -> Response:
        """Answer by the route's function; `said` takes what the authoriser says."""
        if (authorizer := route.authorizer) is not None:
            caller = await self._identified(authorizer, request, query, event)
            said |= caller.context
            if not caller.allowed:
                raise Failed(api_errors.ACCESS_DENIED)
            if authorizer.plans:
                self._meter(caller.plan_key)
            event["requestContext"]["identity"] |= caller.identity
            if caller.context:
                event["requestContext"]["authorizer"] = {**caller.context}
        outcome = await self._call(route.function_arn, event)
        if outcome.error is not None:
            raise Failed(api_errors.BAD_GATEWAY)
        try:
            return rest_api.proxy_response(outcome.payload)
        except rest_api.MalformedAnswer:
            raise Failed(api_errors.BAD_GATEWAY) from None

    async def _identified(
        self, authorizer: Authorizer, request: Request, query: str, event: Mapping[str, Any]
    ) -> Identified:
        """Who sends a request, as IAM or the authoriser's function has it."""
        if not authorizer.function_arn:
            caller, refusal = signer(request, query)
            if caller is None:
                raise Failed(api_errors.bad_signature(refusal))
            return caller
        place = self._api.stage, self._api.api_id
        try:
            outcome = await self._call(authorizer.function_arn, question(event, *place))
        except Failed:
            raise Failed(api_errors.AUTHORIZER_FAILURE) from None
        if outcome.error is not None:
            if b'"errorMessage": "Unauthorized"' in outcome.payload:
                raise Failed(api_errors.UNAUTHORIZED)
            raise Failed(api_errors.AUTHORIZER_FAILURE)
        try:
            return decided(outcome.payload, event, *place)
        except MalformedPolicy:
            raise Failed(api_errors.AUTHORIZER_CONFIGURATION_ERROR) from None

    def _meter(self, plan_key: str) -> None:
        admitted = self._plans.admits(plan_key)
        if admitted is None:
            raise Failed(api_errors.INVALID_API_KEY)
        if not admitted:
            raise Failed(api_errors.THROTTLED)

    async def _call(self, function_arn: str, event: Mapping[str, Any]) -> Outcome:
        payload = json.dumps(event, ensure_ascii=False).encode("utf-8", "replace")
        try:
            async with asyncio.timeout(self._time_limit):
                return await self._plane.invoke(function_arn, payload)
        except TimeoutError:
            raise Failed(api_errors.TIMED_OUT) from None
        except TooLarge:
            raise Failed(api_errors.TOO_LARGE) from None
        except Throttled:
            raise Failed(api_errors.SERVER_ERROR) from None
