"""SageMaker's InvokeEndpointAsync, so that boto3's `sagemaker-runtime` works with an endpoint URL.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html
"""

from __future__ import annotations

import re
from dataclasses import replace

from quintet.api.submit import location
from quintet.errors import BadInput
from quintet.jobs.submit import TTL_SECONDS, JobOptions, Submitter
from quintet.protocols import sagemaker
from quintet.protocols.http import Request, Response, json_body
from quintet.protocols.registry import SAGEMAKER
from quintet.serving import Online, RequestContext

__all__ = ["answer", "failure"]

_PREFIX = "x-amzn-sagemaker-"
#: botocore's patterns for the two names, except that .. is refused
_FOLDERS = re.compile(r"[a-zA-Z0-9!_.*'()/-]+")
_FILE = re.compile(r"(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9_.-]*")
MAX_FOLDERS, MAX_FILE = 512, 32
_VISIBLE = re.compile(r"[\x20-\x7e]{1,64}")

failure = sagemaker.failure


def answer(
    submitter: Submitter, online: Online, request: Request, context: RequestContext, *, bucket: str
) -> Response:
    """Answer POST /endpoints/{endpoint}/async-invocations.

    Inputs in S3 are in `bucket` under inputs/; anyone who may write there may use them.

    Raises:
        QuintetError: the request is refused or failed; `failure` renders the error.
    """
    target = sagemaker.target(request)
    request = _as_invocation(request)
    sagemaker.accepted(request)
    options = _options(request, bucket)
    job = submitter.submit(online, request, context, SAGEMAKER, target=target, options=options)
    headers = {
        "X-Amzn-SageMaker-OutputLocation": f"s3://{bucket}/{job.result_key}",
        "X-Amzn-SageMaker-FailureLocation": f"s3://{bucket}/{job.failure_key}",
        "Location": location(request, job.id),
    }
    return Response(202, json_body({"InferenceId": job.inference_id}), headers=headers)


def _options(request: Request, bucket: str) -> JobOptions:
    inference_id = _header(request, "inference-id") or ""
    if inference_id and not _VISIBLE.fullmatch(inference_id):
        raise BadInput.of("InferenceId", "1 to 64 visible ASCII characters", "others")
    ttl = _seconds(request, "RequestTTLSeconds", 60, TTL_SECONDS)
    place = _header(request, "inputlocation")
    return JobOptions(
        ttl=TTL_SECONDS if ttl is None else ttl,
        inference_id=inference_id,
        stored="" if place is None else _stored(request, place, bucket),
        typed=_header(request, "content-type") is not None,
        folders=_folders(request),
        file=_file(request),
        run_limit=_seconds(request, "InvocationTimeoutSeconds", 1, 3600),
    )


def _as_invocation(request: Request) -> Request:
    """The request with the headers of InvokeEndpoint, which has the same body and answer."""
    headers = dict(request.headers)
    for name in ("content-type", "accept"):
        if (value := _header(request, name)) is not None:
            headers[name] = value
    return replace(request, headers=headers)


def _header(request: Request, name: str) -> str | None:
    return request.headers.get(f"{_PREFIX}{name}")


def _seconds(request: Request, name: str, least: int, most: int) -> int | None:
    text = _header(request, name.lower())
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise BadInput.of(name, f"{least} to {most}", repr(text[:60]))
    return int(text)


def _folders(request: Request) -> str:
    """The caller's folders for the result, below results/."""
    folders = _header(request, "s3outputpathextension") or ""
    if folders and not (
        len(folders) <= MAX_FOLDERS
        and _FOLDERS.fullmatch(folders)
        and not {"", ".", ".."} & set(folders.removesuffix("/").split("/"))
    ):
        expected = "folders such as team/2026, of letters, digits and !_.*'()-, at most 512"
        raise BadInput.of("S3OutputPathExtension", expected, repr(folders[:60]))
    return folders.removesuffix("/")


def _file(request: Request) -> str:
    file = _header(request, "filename") or ""
    if file and not (len(file) <= MAX_FILE and _FILE.fullmatch(file)):
        expected = "letters, digits, - and _, with at most one full stop, at most 32"
        raise BadInput.of("Filename", expected, repr(file[:60]))
    return file


def _stored(request: Request, place: str, bucket: str) -> str:
    """The S3 location of an input; whether the object exists is checked later."""
    if request.raw:
        raise BadInput.of("InputLocation", "it or a body", "both")
    start = f"s3://{bucket}/inputs/"
    if not place.startswith(start) or len(place) > 1024 or ".." in place.split("/"):
        raise BadInput.of("InputLocation", f"an object under {start}", repr(place[:60]))
    return place
