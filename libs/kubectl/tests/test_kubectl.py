"""Running kubectl: its errors, and retries while the connection is lost. Small programs take the place of kubectl."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bookinfo_kubectl import CommandError, ConnectionLostError, Kubectl, UnknownKindError

Program = Callable[..., tuple[str, ...]]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Create a program named kubectl with this content."""

    def create(content: str, mode: int = 0o755) -> tuple[str, ...]:
        path = tmp_path / "kubectl"
        path.write_text(content)
        path.chmod(mode)
        return (str(path),)

    return create


def failing(message: str) -> str:
    return f"#!/bin/sh\necho '{message}' >&2\nexit 1\n"


def test_command_names_context_and_namespace(program: Program) -> None:
    kubectl = Kubectl("kind", "books", program('#!/bin/sh\necho "$@"\n'), options=["--request-timeout=20s"])
    assert kubectl.run("get", "pods") == "--context=kind --request-timeout=20s --namespace=books get pods\n"


def test_current_context_is_used_without_a_context(program: Program) -> None:
    assert "--context" not in Kubectl(None, "books", program('#!/bin/sh\necho "$@"\n')).run("get", "pods")


def test_error_contains_the_command_and_the_last_line(program: Program) -> None:
    with pytest.raises(CommandError, match=r"^kubectl get pods: forbidden$"):
        Kubectl("test", "books", program(failing("a warning\nforbidden"))).run("get", "pods", "-o", "json")


def test_missing_program_is_reported() -> None:
    with pytest.raises(CommandError, match="nonexistent-kubectl: not found; install it"):
        Kubectl("test", "books", ("nonexistent-kubectl",)).run("get", "pods")


@pytest.mark.parametrize(
    ("content", "mode", "error"),
    [
        ("#!/bin/sh\n", 0o644, r"kubectl: cannot be executed \(Permission denied\)"),
        ("what", 0o755, r"kubectl: cannot be executed \(Exec format error\)"),
        ("#!/bin/sh\necho signed in as you\n", 0o755, r"kubectl get pods: expected JSON, got 'signed in as you'"),
    ],
)
def test_invalid_program_is_reported(program: Program, content: str, mode: int, error: str) -> None:
    with pytest.raises(CommandError, match=error):
        Kubectl("test", "books", program(content, mode)).parsed("get", "pods", "-o", "json")


def test_output_may_contain_any_bytes(program: Program) -> None:
    """Envoy logs what clients send, such as a User-Agent header in Latin-1."""
    path = program("#!/bin/sh\nprintf 'GET / 200 caf\\351\\n'\n")
    assert Kubectl("test", "books", path).read("logs", "p").startswith("GET / 200 caf")


def test_unknown_context_error_names_the_command_that_lists_contexts(program: Program) -> None:
    path = program(failing('error: context "there" does not exist'))
    with pytest.raises(CommandError, match=r'context "there" does not exist; `kubectl config get-contexts` lists'):
        Kubectl("there", "books", path).read("get", "pods")


def test_unknown_kind_has_its_own_error(program: Program) -> None:
    path = program(failing("error: no matches for kind VirtualService in version networking.istio.io/v1"))
    with pytest.raises(UnknownKindError):
        Kubectl("test", "books", path).run("get", "-f", "-")


def test_program_that_does_not_end_is_a_lost_connection(program: Program) -> None:
    with pytest.raises(ConnectionLostError, match=r"kubectl get: no response within 0\.2 s"):
        Kubectl("test", "books", program("#!/bin/sh\nexec sleep 5\n"), timeout_seconds=0.2).run("get", "pods")


def test_read_is_retried_while_the_connection_is_lost(program: Program, tmp_path: Path) -> None:
    first = tmp_path / "first"
    path = program(f"#!/bin/sh\nif mkdir {first} 2>/dev/null; then echo 'unexpected EOF' >&2; exit 1; fi\necho found\n")
    assert Kubectl("test", "books", path, retry_seconds=5.0).read("get", "pods") == "found\n"


def test_run_is_not_retried(program: Program) -> None:
    with pytest.raises(ConnectionLostError):
        Kubectl("test", "books", program(failing("unexpected EOF")), retry_seconds=5.0).run("exec", "client")
