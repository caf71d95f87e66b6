"""The forms of predictions: how a job's request is read and its answer written, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from quintet.columns import Batch
from quintet.contract import Contract
from quintet.jobs.job import Job
from quintet.protocols import oip_infer, records, sagemaker
from quintet.protocols.http import Request, Response
from quintet.serving import Prediction

__all__ = ["FORMS", "Asked", "Form", "kept_headers", "request_of"]

#: the headers that a body is read, and its answer written, by
_HEADERS = ("accept", oip_infer.HEADER.lower(), "x-amzn-sagemaker-custom-attributes")


class Asked(Protocol):
    """What a request asks for, in any form; `outputs` None is all of them."""

    batch: Batch
    partial: bool

    @property
    def outputs(self) -> list[str] | None: ...


class Form(Protocol):
    """A form: a module of this package."""

    def decode(self, contract: Contract, request: Request, /) -> Any:
        """Read a request into an `Asked`, which `encode` takes back. Raises BadInput."""
        ...

    def encode(self, asked: Any, prediction: Prediction, /) -> Response:
        """The answer to a request."""
        ...


FORMS: Mapping[str, Form] = {"oip": oip_infer, "records": records, "sagemaker": sagemaker}


def kept_headers(request: Request) -> dict[str, str]:
    """The headers of a request that a job keeps."""
    return {name: request.headers[name] for name in _HEADERS if name in request.headers}


def request_of(job: Job, body: bytes) -> Request:
    """The request of a job, as its form's `decode` takes it; `body` is its content's."""
    headers = {**job.request.headers, "content-type": job.request.content_type}
    return Request("POST", "", headers=headers, raw=body, id=job.id)
