"""Publishing: immutable versions, races, deaths in the middle, promotion; and the commands."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.kits.aws import moto_server
from tests.kits.packages import graph, package
from tests.kits.registries import RegistryServer, publisher_to, registry_on, release_of
from tests.kits.rollouts import on_server, started
from typer.testing import CliRunner

from quintet.aws.client import AwsClient
from quintet.aws.rollouts import Rollouts
from quintet.errors import Conflict, NotFound
from quintet.manifest import manifest_from_json, sha256
from quintet.rollouts.store import Cause, Change
from quintet.rollouts.transitions import promote, roll_back
from quintet_cli.app import app, main
from quintet_publish.aws_registry import AwsRegistry
from quintet_publish.problems import PackageError
from quintet_publish.publisher import Published, Publisher
from quintet_publish.registry import Listed
from quintet_publish.release import renumbered

PREFIX = "models/small/1/"
FILES = [
    "baseline.json",
    "contract.json",
    "golden.json",
    "manifest.json",
    "model.onnx",
    "model.yaml",
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture
def server(url: str) -> RegistryServer:
    return registry_on(url)


# ---- the registry's content ----------------------------------------------------------------------


def test_stores_the_files_the_manifest_and_the_route(
    server: RegistryServer, tmp_path: Path
) -> None:
    release = release_of(package(tmp_path / "p"))
    assert server.publisher.publish(release, "2026-11-23") == Published(new=True, live=1)
    objects = server.objects()
    assert sorted(objects) == [PREFIX + name for name in FILES]
    manifest = manifest_from_json(objects[PREFIX + "manifest.json"])
    assert (manifest.name, manifest.version, manifest.created) == ("small", 1, "2026-11-23")
    assert manifest.digest == release.digest
    assert {path: file.sha256 for path, file in manifest.files.items()} == {
        name: sha256(objects[PREFIX + name]) for name in FILES if name != "manifest.json"
    }
    assert manifest.contract == json.loads(objects[PREFIX + "contract.json"])
    listed = [Listed("small", 1, release.digest, len(graph()), "2026-11-23", live=True)]
    assert server.publisher.models() == listed


def test_the_same_bytes_again_change_nothing(server: RegistryServer, tmp_path: Path) -> None:
    release = release_of(package(tmp_path / "p"))
    server.publisher.publish(release, "first")
    before = server.objects(), server.publisher.models()
    assert server.publisher.publish(release, "second") == Published(new=False, live=1)
    assert (server.objects(), server.publisher.models()) == before


def test_other_content_under_a_version_is_refused(server: RegistryServer, tmp_path: Path) -> None:
    server.publisher.publish(release_of(package(tmp_path / "p")), "first")
    before = server.objects()
    other = release_of(package(tmp_path / "other", factor=3.0))
    with pytest.raises(Conflict) as caught:
        server.publisher.publish(other, "second")
    assert str(caught.value) == (
        "version: expected the content that was published as version 1 of small, "
        "got other content; raise `version` in model.yaml"
    )
    assert server.objects() == before


def test_later_versions_need_a_promotion(server: RegistryServer, tmp_path: Path) -> None:
    publisher = server.publisher
    publisher.publish(release_of(package(tmp_path / "1")), "now")
    second = release_of(package(tmp_path / "2", version=2, factor=3.0))
    assert publisher.publish(second, "now") == Published(new=True, live=1)
    assert publisher.promote("small", 2) == 1
    route = server.registry.route("small")
    assert (route.live, route.revision) == (2, 2)
    assert [found.live for found in publisher.models()] == [False, True]


def test_publishing_and_promotion_are_in_the_history(
    server: RegistryServer, tmp_path: Path
) -> None:
    publisher = server.publisher
    on_server(server)
    table = server.client("dynamodb")
    table.delete_item(TableName=server.table, Key={"model": {"S": "small"}, "item": {"S": "route"}})
    publisher.publish(release_of(package(tmp_path / "p", version=4)), "now")
    publisher.promote("small", 2, "hot fix")
    routes = [{"live": 4, "revision": 1}, {"live": 2, "revision": 2}]
    cause = Cause(at=1_000.0, by="test")
    assert server.written.routes.history("small") == [
        Change(model="small", event="published", cause=cause, before=None, after=routes[0]),
        Change(
            model="small",
            event="made live",
            cause=replace(cause, reason="hot fix"),
            before=routes[0],
            after=routes[1],
        ),
    ]


def test_a_promotion_during_a_rollout_is_refused(server: RegistryServer) -> None:
    publisher = server.publisher
    started(on_server(server))
    for version in (1, 2):
        with pytest.raises(Conflict) as caught:
            publisher.promote("small", version)
        assert str(caught.value) == (
            "rollout: expected no rollout of small in progress, got version 2 as canary at 1 %; "
            "`quintet rollout promote small` or `quintet rollout rollback small` ends it"
        )
    assert server.registry.route("small").revision == 2


def test_only_published_versions_are_promoted(server: RegistryServer, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"^version: expected a published version of small, got 1$"):
        server.publisher.promote("small", 1)
    server.publisher.publish(release_of(package(tmp_path / "1")), "now")
    server.written.claim("small", 2, release_of(package(tmp_path / "2", version=2)).digest)
    with pytest.raises(NotFound):
        server.publisher.promote("small", 2)
    assert server.registry.route("small").live == 1


# ---- the end of a version ------------------------------------------------------------------------


def two_versions(server: RegistryServer, tmp_path: Path) -> Publisher:
    """Two published versions, the first of them live."""
    for version in (1, 2):
        folder = package(tmp_path / str(version), version=version)
        server.publisher.publish(release_of(folder), "now")
    return server.publisher


def test_a_live_version_is_neither_withdrawn_nor_deleted(
    server: RegistryServer, tmp_path: Path
) -> None:
    publisher = two_versions(server, tmp_path)
    before = server.objects()
    with pytest.raises(Conflict) as caught:
        publisher.withdraw("small", 1, "later")
    assert str(caught.value) == (
        "version: expected a version that is not live, got 1, which is; promote another one "
        "first: `quintet promote small VERSION`"
    )
    with pytest.raises(Conflict) as caught:
        publisher.delete("small", 2, "later")
    assert str(caught.value) == (
        "version: expected a withdrawn version, got 2, which still answers; withdraw it first: "
        "`quintet withdraw small 2`"
    )
    assert server.objects() == before
    assert server.registry.versions("small") == [1, 2]


def test_a_version_that_a_rollout_uses_is_not_withdrawn(server: RegistryServer) -> None:
    publisher, routes = server.publisher, on_server(server)
    started(routes)
    for version in (1, 2):
        with pytest.raises(Conflict) as caught:
            publisher.withdraw("small", version, "later")
        assert str(caught.value) == (
            f"version: expected a version that no rollout uses, got {version}, which one does; "
            "wait for its end, or end it with `quintet rollout rollback small`"
        )
    assert routes.write(promote(routes.read("small"), Cause(at=1.0, by="ann"), verdict="ok"))
    with pytest.raises(Conflict, match="which the rollout of version 2 may come back to; wait"):
        publisher.withdraw("small", 1, "later")
    assert server.registry.versions("small") == [1, 2, 3]
    assert routes.write(roll_back(routes.read("small"), Cause(at=2.0, by="ann")))
    publisher.withdraw("small", 2, "later")
    assert server.registry.versions("small") == [1, 3]


def test_a_withdrawn_version_answers_no_more_and_its_number_stays_taken(
    server: RegistryServer, tmp_path: Path
) -> None:
    publisher = two_versions(server, tmp_path)
    publisher.withdraw("small", 2, "later")
    route = server.registry.route("small")
    assert (list(route.versions), route.withdrawn) == ([1], {2: "later"})
    assert server.registry.models() == {"small": [1]}
    assert [found.version for found in publisher.models()] == [1]
    assert [found.withdrawn for found in publisher.versions("small")] == ["", "later"]
    with pytest.raises(NotFound, match=r"got 2, which was withdrawn at later$"):
        publisher.promote("small", 2)
    with pytest.raises(Conflict, match=r"got 2, which was withdrawn; raise `version` in model"):
        publisher.publish(release_of(tmp_path / "2"), "again")


def test_deletion_removes_the_files_and_keeps_the_digest(
    server: RegistryServer, tmp_path: Path
) -> None:
    publisher = two_versions(server, tmp_path)
    digest = publisher.versions("small")[1].digest
    publisher.withdraw("small", 2, "later")
    assert publisher.delete("small", 2, "at last") == len(FILES)
    assert publisher.delete("small", 2, "again") == 0
    assert sorted(server.objects()) == [PREFIX + name for name in FILES]
    found = publisher.versions("small")[1]
    assert (found.digest, found.withdrawn, found.deleted) == (digest, "later", "at last")
    assert server.registry.route("small").withdrawn == {2: "later"}
    with pytest.raises(Conflict, match="got 2, which was withdrawn"):
        publisher.publish(release_of(tmp_path / "2"), "again")


@pytest.mark.parametrize("what", ["withdraw", "delete", "promote"])
def test_an_unknown_version_is_named(server: RegistryServer, tmp_path: Path, what: str) -> None:
    publisher = server.publisher
    publisher.publish(release_of(package(tmp_path / "p")), "now")
    calls: dict[str, Callable[[], object]] = {
        "withdraw": lambda: publisher.withdraw("small", 7, "now"),
        "delete": lambda: publisher.delete("small", 7, "now"),
        "promote": lambda: publisher.promote("small", 7),
    }
    with pytest.raises(NotFound, match=r"^version: expected a published version of small, got 7$"):
        calls[what]()
    with pytest.raises(NotFound, match=r"^model: expected a published model, got .other.$"):
        publisher.versions("other")


def test_withdrawal_and_promotion_at_once_leave_a_live_version_that_answers(
    url: str, tmp_path: Path
) -> None:
    releases = [release_of(package(tmp_path / str(v), version=v)) for v in (1, 2)]
    for _ in range(5):
        server = registry_on(url)
        for release in releases:
            server.publisher.publish(release, "now")
        calls = [
            partial(server.publisher.promote, "small", 2),
            partial(server.publisher.withdraw, "small", 2, "later"),
        ]
        results = race(calls)
        route = server.registry.route("small")
        assert route.live in route.versions
        assert sum(isinstance(result, Conflict | NotFound) for result in results) == 1


def test_a_taken_number_is_raised_to_the_next_free_one(
    server: RegistryServer, tmp_path: Path
) -> None:
    publisher = two_versions(server, tmp_path)
    server.written.claim("small", 3, "of a publisher that was interrupted")
    same = release_of(tmp_path / "1")
    assert publisher.numbered(same) is same
    free = replace(same, contract=replace(same.contract, version=9))
    assert publisher.numbered(free) is free
    other = publisher.numbered(release_of(package(tmp_path / "other", factor=3.0)))
    assert other == release_of(package(tmp_path / "other", factor=3.0, version=4))


def test_a_version_without_a_line_of_its_own_is_not_raised(tmp_path: Path) -> None:
    folder = package(tmp_path / "p")
    text = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(text.replace("version: 1", '"version": 1'))
    with pytest.raises(PackageError, match=r"^model.yaml: expected a line `version: N`; set it"):
        renumbered(release_of(folder), 3)


# ---- races and deaths ----------------------------------------------------------------------------


class Dies(Exception):
    """The publisher is killed."""


class DyingClient:
    """A boto3 client that dies at its nth call: before it, or after it took effect."""

    def __init__(self, client: Any, calls: list[int], *, at: int, after: bool) -> None:
        self._client = client
        self._calls = calls
        self._at = at
        self._after = after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(**arguments: Any) -> Any:
            self._calls[0] += 1
            if self._calls[0] == self._at and not self._after:
                raise Dies
            result = method(**arguments)
            if self._calls[0] == self._at:
                raise Dies
            return result

        return call


class DyingAwsClient(AwsClient):
    """The same of the client that writes routes."""

    def __init__(self, environ: dict[str, str], calls: list[int], *, at: int, after: bool) -> None:
        super().__init__("dynamodb", environ=environ)
        self._calls = calls
        self._at = at
        self._after = after

    def call(self, *arguments: Any, **options: Any) -> Any:
        self._calls[0] += 1
        if self._calls[0] == self._at and not self._after:
            raise Dies
        answer = super().call(*arguments, **options)
        if self._calls[0] == self._at:
            raise Dies
        return answer


def dying(server: RegistryServer, at: int, *, after: bool) -> Publisher:
    calls = [0]
    clients = (
        DyingClient(server.client(service), calls, at=at, after=after)
        for service in ("s3", "dynamodb")
    )
    routes = Rollouts(DyingAwsClient(server.environ, calls, at=at, after=after), server.table)
    return publisher_to(
        AwsRegistry(*clients, bucket=server.bucket, table=server.table, routes=routes)
    )


#: the claim, six files, the seal; the look for a route, the route, the look at it
SEAL = 8
CALLS = SEAL + 3


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_anywhere_a_second_run_completes(url: str, tmp_path: Path, after: bool) -> None:
    release = release_of(package(tmp_path / "p"))
    for at in range(1, CALLS + 1):
        server = registry_on(url)
        with pytest.raises(Dies):
            dying(server, at, after=after).publish(release, "first")
        seen = [found.version for found in server.publisher.models()]
        sealed = at > SEAL or (at == SEAL and after)
        assert seen == ([1] if sealed else [])
        assert server.publisher.publish(release, "second").live == 1
        assert sorted(server.objects()) == [PREFIX + name for name in FILES]
        seal = server.registry.route("small").versions[1].seal
        assert server.artifacts().load("small", 1, seal).digest == release.digest
    with pytest.raises(NotFound):
        registry_on(url).registry.route("small")


def test_the_second_run_after_the_last_call_has_nothing_to_do(url: str, tmp_path: Path) -> None:
    server = registry_on(url)
    release = release_of(package(tmp_path / "p"))
    dying(server, CALLS + 1, after=False).publish(release, "first")
    assert server.publisher.publish(release, "second").new is False


def race(publishers: list[Any]) -> list[Any]:
    """What each came to when all ran at once."""
    results: list[Any] = [None] * len(publishers)
    barrier = threading.Barrier(len(publishers))

    def run(position: int) -> None:
        barrier.wait()
        try:
            results[position] = publishers[position]()
        except Exception as error:
            results[position] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(publishers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_two_contents_at_once_one_wins_whole(url: str, tmp_path: Path) -> None:
    releases = [release_of(package(tmp_path / str(n), factor=float(n))) for n in range(2, 6)]
    for _ in range(5):
        server = registry_on(url)
        results = race([partial(server.publisher.publish, r, "now") for r in releases])
        (winner,) = [n for n, result in enumerate(results) if result == Published(True, 1)]
        assert sum(isinstance(result, Conflict) for result in results) == 3
        objects = server.objects()
        assert objects[PREFIX + "model.onnx"] == releases[winner].files["model.onnx"]
        assert server.artifacts().load("small", 1).digest == releases[winner].digest


def test_the_same_content_at_once_is_published_once(url: str, tmp_path: Path) -> None:
    release = release_of(package(tmp_path / "p"))
    for _ in range(5):
        server = registry_on(url)
        results = race([partial(server.publisher.publish, release, at) for at in "abcd"])
        assert {type(result) for result in results} == {Published}
        seal = server.registry.route("small").versions[1].seal
        assert server.artifacts().load("small", 1, seal).digest == release.digest


def test_two_promotions_at_once_both_stand_or_one_is_told(
    server: RegistryServer, tmp_path: Path
) -> None:
    publisher = server.publisher
    for version in (1, 2, 3):
        publisher.publish(release_of(package(tmp_path / str(version), version=version)), "now")
    results = race([lambda: publisher.promote("small", 2), lambda: publisher.promote("small", 3)])
    told = [result for result in results if isinstance(result, Conflict)]
    route = server.registry.route("small")
    assert route.revision == 3 - len(told)
    assert route.live in (2, 3)


# ---- the commands --------------------------------------------------------------------------------


def run(*arguments: object, code: int = 0) -> str:
    """The output of a command, without its colours."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        assert code == 1
        return str(result.exception)
    assert result.exit_code == code, result.output
    return re.sub(r"\x1b\[[0-9;]*m", "", result.output)


def test_the_commands_from_publish_to_promote(server: RegistryServer, tmp_path: Path) -> None:
    stage = ("--stage", "local", "--state", server.state(tmp_path / "state"))
    folder = package(tmp_path / "p")
    assert (
        run("models", *stage) == "no model is published; publish one with `quintet publish DIR`\n"
    )
    first = run("publish", folder, *stage)
    assert "✓ published       small version 1" in first
    assert "live: version 1 answers requests" in first
    digest = re.search(r"digest ([0-9a-f]{64})", first)
    assert digest
    again = run("publish", folder, *stage)
    assert "small version 1 is already published with the same content" in again
    assert digest.group(1) in again
    assert digest.group(1) in run("check", folder)
    package(folder, factor=3.0)
    assert "raise `version` in model.yaml" in run("publish", folder, *stage, code=1)
    package(folder, factor=3.0, version=2)
    second = run("publish", folder, *stage)
    assert (
        "live is version 1; `quintet rollout start small 2` changes that step by step, "
        "`quintet promote small 2` at once" in second
    )
    assert run("promote", "small", 2, *stage) == "small: version 2 is live, version 1 was\n"
    table = run("models", *stage)
    assert re.search(r"small\s+│ 1\s+│\s+│ " + digest.group(1)[:12], table)
    assert re.search(r"small\s+│ 2\s+│ live", table)


def test_the_commands_from_bump_to_withdraw(server: RegistryServer, tmp_path: Path) -> None:
    stage = ("--state", server.state(tmp_path / "state"))
    folder = package(tmp_path / "p")
    run("publish", folder, "--bump", *stage)
    assert (folder / "model.yaml").read_text().splitlines()[1] == "version: 1"
    package(folder, factor=3.0)
    second = run("publish", folder, "--bump", *stage)
    assert "✓ version         1 is taken; model.yaml now says 2" in second
    assert "✓ published       small version 2" in second
    assert (folder / "model.yaml").read_text().splitlines()[1] == "version: 2"
    assert "is already published" in run("publish", folder, "--bump", *stage)
    assert run("publish", folder, "--bump", "--stage", "prod", code=1) == (
        "--bump: expected the local stage; set `version` in model.yaml yourself, got prod"
    )
    assert "still answers" in run("delete", "small", 2, *stage, code=1)
    assert run("withdraw", "small", 2, *stage).startswith("small: version 2 is withdrawn; ")
    assert "small version 2 was withdrawn at 20" in run("withdraw", "small", 2, *stage)
    rows = [line.split("│") for line in run("versions", "small", *stage).splitlines()[3:5]]
    assert [[cell.strip() for cell in row[1:3]] for row in rows] == [
        ["1", "live"],
        ["2", "withdrawn"],
    ]


def test_publishing_a_bad_package_lists_its_problems(
    server: RegistryServer, tmp_path: Path
) -> None:
    folder = package(tmp_path / "p", extra="colour: red\nlimits: {rows: x}\n")
    text = run("publish", folder, "--state", server.state(tmp_path / "state"), code=1)
    assert text == (
        "2 problems:\n"
        "  model.yaml, line 11: colour: is not a field of the contract\n"
        "  model.yaml, line 12: limits.rows: expected integer, got 'x'"
    )
    assert server.objects() == {}


def test_an_error_is_shown_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = package(tmp_path / "p", extra='"[/x]": "[bold]' + "long " * 40 + '"\n')
    monkeypatch.setattr("sys.argv", ["quintet", "check", str(folder)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 4
    assert capsys.readouterr().err == (
        "error: model.yaml, line 11: [/x]: is not a field of the contract\n"
        f"try: quintet check {folder}\n"
    )


def test_without_a_local_aws_the_command_says_how_to_start_one(tmp_path: Path) -> None:
    text = run("publish", package(tmp_path / "p"), "--state", tmp_path / "none", code=1)
    assert "no local AWS is running" in text


def test_a_registry_that_is_not_there_is_named(url: str, tmp_path: Path) -> None:
    nowhere = RegistryServer(url, "no-bucket", "no-table")
    text = run("models", "--state", nowhere.state(tmp_path / "state"), code=1)
    assert text.startswith("the stage's registry: An error occurred (ResourceNotFound")


def test_the_schema_is_printed() -> None:
    assert json.loads(run("schema"))["title"] == "Contract"


def test_publishing_says_where_a_stage_encrypts_no_captures(
    server: RegistryServer, tmp_path: Path
) -> None:
    state = server.state(tmp_path / "state")
    folder = package(tmp_path / "p")
    written = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(written + "capture: {sensitive: encrypted}\n")
    warning = "the stage encrypts no captures, so sensitive features are left out of them: deploy"
    assert warning in run("publish", folder, "--state", state)
    local = json.loads((state / "local.json").read_text())
    local["outputs"]["SealedCaptures"] = "on"
    (state / "local.json").write_text(json.dumps(local))
    assert warning not in run("publish", folder, "--state", state)
