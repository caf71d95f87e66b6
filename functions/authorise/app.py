"""authorise: verifies the key or the token of each request to the API."""

from __future__ import annotations

from typing import Any

from quintet.api.authorising import allow, credential, deny
from quintet.callers.caller import Refused
from quintet.wiring import authorise as wiring
from quintet.wiring import common


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer API Gateway whether a request may pass; an error makes it answer 503."""
    settings, arn = wiring.settings(), event["methodArn"]
    try:
        caller = wiring.verifier()(credential(event, api_key=settings.auth == "keys"))
    except Refused as refused:
        request = event["requestContext"]["requestId"]
        common.logger().info("caller refused", request_id=request, reason=str(refused))
        return deny(arn, refused)
    return allow(arn, caller, settings.shared_plan_key)
