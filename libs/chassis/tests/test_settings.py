"""Settings come from the environment. An invalid one is a one-line error."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, field_validator

from bookinfo_chassis.settings import Hostname, InvalidSettingsError, ServiceSettings, service_url


class Settings(ServiceSettings):
    peer: Hostname = "peer"
    secret: SecretStr | None = None

    @field_validator("secret")
    @classmethod
    def _hard(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret:
            raise ValueError("too short")
        return secret


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)


def error_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettingsError) as caught:
        Settings.load()
    return str(caught.value)


def test_the_defaults() -> None:
    settings = Settings.load()
    assert (settings.version, settings.host, settings.port, settings.uds) == ("v1", None, 9080, None)
    assert (settings.hostname, settings.drain_seconds, settings.upstream_idle_seconds) == ("null", 2.0, 4.0)
    assert (settings.fault_abort_percent, settings.fault_delay_ms, settings.access_log) == (0, 0, 0)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PORT", "http", "input should be a valid integer, unable to parse string as an integer (got 'http')"),
        ("PORT", "0", "input should be greater than or equal to 1 (got '0')"),
        ("PORT", "65536", "input should be less than or equal to 65535 (got '65536')"),
        ("HOST", "a b", "expected a host name or an IP address (got 'a b')"),
        ("PEER", "peer:9080", "expected a host name or an IP address (got 'peer:9080')"),
        ("PEER", "http://peer", "expected a host name or an IP address (got 'http://peer')"),
        ("PEER", f"{'a' * 64}.example", "expected a host name or an IP address"),
        ("PEER", "a." * 127, "expected a host name or an IP address"),
        ("LOG_LEVEL", "loud", "input should be 'debug', 'info', 'warning' or 'error' (got 'loud')"),
        ("LOG_FORMAT", "xml", "input should be 'json', 'console' or 'auto' (got 'xml')"),
        ("ACCESS_LOG", "1.5", "input should be less than or equal to 1 (got '1.5')"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "jaeger:4318", "expected a URL such as http://jaeger:4318 (got 'jaeger:4318')"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://jaeger:http", "expected a URL such as http://jaeger:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://jaeger:99999", "expected a URL such as http://jaeger:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1", "expected a URL such as http://jaeger:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://my jaeger", "expected a URL such as http://jaeger:4318"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "input should be a valid number"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "input should be 'none', 'gzip' or 'deflate' (got 'zstd')"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file", "expected a readable file (got '/no/such/file')"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "soon", "input should be a valid integer"),
        ("OTEL_TRACES_SAMPLER", "some", "input should be 'always_on'"),
        ("OTEL_TRACES_SAMPLER_ARG", "7", "input should be less than or equal to 1 (got '7')"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "input should be greater than or equal to 1 (got '-1')"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", "input should be less than or equal to 2048 (got '4096')"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "32", "input should be greater than or equal to 2048 (got '32')"),
        ("DRAIN_SECONDS", "-1", "input should be greater than or equal to 0 (got '-1')"),
        ("DRAIN_SECONDS", "nan", "input should be a finite number (got 'nan')"),
        ("UPSTREAM_IDLE_SECONDS", "soon", "input should be a valid number"),
        ("FAULT_ABORT_PERCENT", "101", "input should be less than or equal to 100 (got '101')"),
        ("FAULT_ABORT_STATUS", "200", "input should be greater than or equal to 400 (got '200')"),
        ("FAULT_DELAY_MS", "-5", "input should be greater than or equal to 0 (got '-5')"),
        ("FAULT_DELAY_PERCENT", "inf", "input should be a finite number (got 'inf')"),
        ("FAULT_SEED", "x", "input should be a valid integer"),
        ("UDS", "/no/such/directory/s", "its directory does not exist or is not writable"),
        ("UDS", "/" + "u" * 107, "expected a path of at most 107 bytes"),
    ],
)
def test_an_invalid_value_is_rejected_with_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    line = error_line(monkeypatch, name, value)
    assert line.startswith(f"{name}: {reason}")
    assert "\n" not in line


@pytest.mark.parametrize("headers", ["authorization: Bearer s3cret", "a=1,s3cret", 'a="s3cret"', "s3cret /=1"])
def test_invalid_exporter_headers_are_rejected_without_showing_them(
    monkeypatch: pytest.MonkeyPatch, headers: str
) -> None:
    line = error_line(monkeypatch, "OTEL_EXPORTER_OTLP_HEADERS", headers)
    assert line == "OTEL_EXPORTER_OTLP_HEADERS: expected a list such as name=value,name=value"


@pytest.mark.parametrize("headers", ["authorization=Bearer s3cret", "a=Basic%20czNjcmV0==, b = 2,", ""])
def test_valid_exporter_headers_are_accepted(monkeypatch: pytest.MonkeyPatch, headers: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
    Settings.load()


def test_propagators_that_are_not_installed_are_ignored() -> None:
    environ = {"OTEL_PROPAGATORS": "tracecontext,baggage,b3"}
    subprocess.run(
        [
            sys.executable,
            "-c",
            "from bookinfo_chassis.environment import discard_propagators as d; d(); import bookinfo_chassis.app",
        ],
        env=environ,
        check=True,
    )


def test_the_error_for_a_value_with_a_line_break_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert error_line(monkeypatch, "PORT", "1\n2").endswith(r"(got '1\n2')")


def test_a_long_value_is_truncated_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(error_line(monkeypatch, "PEER", "!" * 5000)) < 160


def test_a_secret_is_not_shown_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert error_line(monkeypatch, "SECRET", "hunter2") == "SECRET: too short"


def test_a_path_that_is_not_a_socket_is_rejected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "the path exists and is not a socket" in error_line(monkeypatch, "UDS", str(tmp_path / "file"))


def test_an_unused_socket_is_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    monkeypatch.setenv("UDS", str(tmp_path / "s"))
    assert Settings.load().uds == str(tmp_path / "s")


def test_service_version_is_an_alias_of_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_VERSION", "v2")
    assert Settings.load().version == "v2"
    monkeypatch.setenv("VERSION", "v3")
    assert Settings.load().version == "v3"


def test_an_empty_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")
    assert Settings.load().port == 9080


def test_service_variables_of_kubernetes_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEER_PORT", "tcp://10.0.0.1:9080")
    assert Settings.load().port == 9080


def test_the_log_level_is_case_insensitive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    assert Settings.load().log_level == "warning"


@pytest.mark.parametrize(
    "name", ["reviews", "reviews.default.svc.cluster.local.", "my_app-reviews_1", "127.0.0.6", "::1", "::", "fd00::6"]
)
def test_host_names_and_addresses_are_accepted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("HOST", name)
    assert Settings.load().host == name


@pytest.mark.parametrize(
    ("host", "domain", "url"),
    [
        ("reviews", None, "http://reviews:9080"),
        ("reviews", "", "http://reviews:9080"),
        ("reviews", "bookinfo.svc", "http://reviews.bookinfo.svc:9080"),
        ("127.0.0.6", None, "http://127.0.0.6:9080"),
        ("fd00::6", None, "http://[fd00::6]:9080"),
    ],
)
def test_a_service_url_consists_of_host_domain_and_port(host: str, domain: str | None, url: str) -> None:
    assert service_url(host, 9080, domain) == url
