"""`/models/{model}/recommendations/{user}`: the items that a user may want now."""

from __future__ import annotations

from functools import partial
from typing import Any

from quintet.errors import BadInput
from quintet.formats import strict_json
from quintet.protocols.http import Request, Response, json_body
from quintet.recommend.plans import RecommendPlan
from quintet.recommend.recommender import Recommender
from quintet.recommend.requests import Asked, read_query, read_request, user_of
from quintet.serving import RequestContext

__all__ = ["answer"]

#: bytes of a body: the items of a context and its other features
MAX_BODY = 100_000


def answer(recommender: Recommender, request: Request, context: RequestContext) -> Response:
    """Answer with recommendations.

    Raises:
        QuintetError: as `Recommender.recommend` does.
    """
    model, user = request.parameters["model"], user_of(request.parameters["user"])
    if request.models:  # a call costs
        request.check_model(model)
    found = recommender.recommend(context, model, partial(_asked, request, user))
    return Response(200, json_body(found.document(context)))


def _asked(request: Request, user: str, plan: RecommendPlan, now: float) -> Asked:
    body: Any
    if request.method == "GET":
        body = read_query(request.query)
    elif request.query:
        raise BadInput.of("query", "no parameters: they are in the body", "some")
    else:
        if request.headers.get("content-type") != "application/json":
            request.accepts("application/json")
        body = strict_json.parse(request.content(MAX_BODY))
    return read_request(plan, user, body, now)
