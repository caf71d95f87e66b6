"""Callers who sign for IAM, and callers with a token of an issuer, on the local AWS."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.kits.issuer import issuing, jwk, token
from tests.kits.local_aws import LocalAws, eventually, start_local_aws
from typer.testing import CliRunner

from quintet_cli.app import app

READY, JOBS = "/v2/health/ready", "/jobs"
SECONDS = 90


@contextmanager
def serving(state: Path, **parameters: str) -> Iterator[LocalAws]:
    local = start_local_aws(state, parameters=parameters)
    try:
        yield local
    finally:
        local.stop()


def ask(local: LocalAws, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    request = urllib.request.Request(local.api_url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def signed(local: LocalAws, path: str, user: str, service: str = "execute-api") -> dict[str, str]:
    request = AWSRequest("GET", local.api_url + path)
    SigV4Auth(Credentials(user, "secret"), service, "us-east-1").add_auth(request)
    return dict(request.headers)


def test_iam_wants_a_signature_for_the_api_and_knows_its_user(tmp_path: Path) -> None:
    with serving(tmp_path, ApiAuth="iam") as local:
        assert ask(local, READY, {}) == (403, {"message": "Missing Authentication Token"})
        assert ask(local, READY, {"x-api-key": "qk_x"})[0] == 403
        status, body = ask(local, READY, signed(local, READY, "ANN", "sagemaker"))
        assert (status, "execute-api" in body["message"]) == (403, True)
        assert ask(local, READY, signed(local, READY, "ANN")) == (
            200,
            {"live": True, "ready": True},
        )
        assert ask(local, JOBS, signed(local, JOBS, "ANN"))[0] == 200
        user = '"caller":"arn:aws:iam::123456789012:user/ANN"'
        assert eventually(lambda: user in local.logs("Predict"))
        # the command signs as on AWS
        listed = CliRunner().invoke(app, ["openapi", "--state", str(tmp_path)])
        assert listed.exit_code == 0, listed.output


def test_a_token_of_the_issuer_is_let_in(tmp_path: Path) -> None:
    keys = [jwk("rsa-1"), jwk("ec-1")]
    with (
        issuing(keys) as issuer,
        serving(tmp_path, ApiAuth="jwt", JwtIssuer=issuer, JwtAudience="quintet") as local,
    ):

        def bearer(kid: str = "rsa-1", **given: Any) -> tuple[int, Any]:
            text = token(kid, **{"iss": issuer, "sub": "mobile-app", **given})
            return ask(local, READY, {"Authorization": f"Bearer {text}"})

        assert bearer()[0] == bearer("ec-1")[0] == 200
        assert eventually(lambda: '"caller":"mobile-app"' in local.logs("Predict"))
        for given, reason in (
            ({"exp": 1_000_000_000}, "the token has expired"),
            ({"aud": "another"}, "the token is for another audience (aud)"),
            ({"iss": "https://issuer.example"}, "the token is of another issuer (iss)"),
        ):
            assert bearer(**given) == (401, {"message": reason})
        none = {"message": "expected a credential in Authorization: Bearer, got none"}
        assert ask(local, READY, {}) == ask(local, READY, {"x-api-key": "k"}) == (401, none)

        limited = token("rsa-1", iss=issuer, models=["fraud"])
        status, body = ask(local, "/v2/models/churn", {"Authorization": f"Bearer {limited}"})
        assert (status, "may ask: fraud" in body["error"]) == (403, True)

        # the issuer rotates: its new key is found, whatever is cached
        assert bearer("rsa-2")[0] == 401
        keys[:] = [jwk("rsa-2")]
        assert eventually(lambda: bearer("rsa-2")[0] == 200, SECONDS)
        assert bearer("rsa-1")[0] == 401


def test_an_issuer_that_cannot_be_read_is_no_fault_of_the_caller(tmp_path: Path) -> None:
    with issuing([jwk("rsa-1")]) as issuer:
        pass  # it is away from now on
    with serving(tmp_path, ApiAuth="jwt", JwtIssuer=issuer, JwtAudience="quintet") as local:
        text = token("rsa-1", iss=issuer)
        assert ask(local, READY, {"Authorization": f"Bearer {text}"}) == (
            503,
            {"message": "callers cannot be verified now; try again"},
        )


def test_up_takes_how_callers_are_authenticated(tmp_path: Path) -> None:
    arguments = ["up", "--auth", "keys", "--detach", "--port", "0", "--api-port", "0"]
    started = CliRunner().invoke(app, [*arguments, "--state", str(tmp_path)])
    try:
        assert started.exit_code == 0, started.output
        api = json.loads((tmp_path / "local.json").read_text())
        assert api["outputs"]["ApiAuth"] == "keys"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(api["api_url"] + READY, timeout=60)
        assert refused.value.code == 401
    finally:
        CliRunner().invoke(app, ["down", "--state", str(tmp_path)])
