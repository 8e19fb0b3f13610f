"""The headers with the version and the pod."""

from bookinfo_chassis.pod_info import PodInfo
from bookinfo_chassis.settings import ServiceSettings


def test_a_response_contains_version_and_pod() -> None:
    settings = ServiceSettings(version="v2", hostname="reviews-v2-5c9d-x7k2p")

    assert PodInfo.from_settings(settings).headers() == [
        ("bookinfo-version", "v2"),
        ("bookinfo-pod", "reviews-v2-5c9d-x7k2p"),
    ]


def test_without_a_pod_name_a_response_contains_only_the_version() -> None:
    assert PodInfo.from_settings(ServiceSettings(hostname="null")).headers() == [("bookinfo-version", "v1")]


def test_a_value_cannot_add_a_header() -> None:
    assert dict(PodInfo("v1", "pod\r\nset-cookie: a=b").headers())["bookinfo-pod"] == "pod%0D%0Aset-cookie%3A%20a%3Db"


def test_the_headers_can_be_read_back() -> None:
    for instance in (PodInfo("v1"), PodInfo("v2", "reviews-v2"), PodInfo("ä %", "p\r\n")):
        assert PodInfo.from_headers(dict(instance.headers())) == instance


def test_a_response_without_the_headers_has_no_pod() -> None:
    assert PodInfo.from_headers({"server": "envoy"}) is None
