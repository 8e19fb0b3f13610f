"""Reading logs."""

from pathlib import Path

import pytest

from bookinfo_lab.client import logs
from bookinfo_lab.errors import LabError


@pytest.fixture
def proxies(tmp_path: Path) -> Path:
    for name in ("reviews-v1-0123456789-abcde", "reviews-v10-0123456789-abcde", "details-v1-0123456789-abcde"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.log").write_text(f"{name[:10]} one\n{name[:10]} two")
    return tmp_path


def test_a_deployments_name_finds_its_pods_and_no_others(proxies: Path) -> None:
    assert [log.parent.name for log in logs.find(proxies, "reviews-v1", sidecar=False)] == [
        "reviews-v1-0123456789-abcde"
    ]


def test_the_log_of_a_gateway_is_its_envoys(proxies: Path) -> None:
    (proxies / "istio-ingressgateway").mkdir()
    (proxies / "istio-ingressgateway/envoy.log").write_text("GET /productpage 200\n")
    (log,) = logs.find(proxies, "istio-ingressgateway", sidecar=False)
    assert list(logs.read([log], follow=False)) == ["GET /productpage 200"]


def test_one_log_is_told_as_it_is_and_several_with_their_names(proxies: Path) -> None:
    (one,) = logs.find(proxies, "details-v1", sidecar=False)
    assert list(logs.read([one], follow=False)) == ["details-v1 one", "details-v1 two"]
    lines = list(logs.read(logs.find(proxies, None, sidecar=False), follow=False))
    assert lines[0] == "details-v1-0123456789-abcde: details-v1 one"
    assert len(lines) == 6


def test_workload_without_a_log_is_reported(proxies: Path) -> None:
    with pytest.raises(LabError, match="no log of ratings-v1 found"):
        logs.find(proxies, "ratings-v1", sidecar=False)


def test_following_tells_whole_lines_as_they_come_also_after_a_rotation(proxies: Path) -> None:
    (log,) = logs.find(proxies, "details-v1", sidecar=False)
    lines = logs.read([log], follow=True)
    assert next(lines) == "details-v1 one"
    with log.open("a") as file:
        file.write(" and more\n")
    assert next(lines) == "details-v1 two and more"
    log.write_text("new\n")
    assert next(lines) == "new"
