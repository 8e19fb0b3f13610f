"""What a real Envoy says about a configuration, in words that can be read."""

import os
from pathlib import Path
from typing import Any

import pytest

from bookinfo_lab.resources.topology import Workload
from bookinfo_lab.runtime import envoy
from bookinfo_lab.runtime.validation import plain, validate
from bookinfo_lab.translate.xds import ProxyConfig

PROXY = Workload("a", "a", "default", {}, "a", "127.0.0.1", {"http": 9080})

RING = {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 99_999_999_999}}


def said(folder: Path, **cluster: Any) -> str | None:
    clusters = [{"name": f"filler-{number}", "type": "STATIC"} for number in range(50)]
    config = ProxyConfig(listeners=(), clusters=(*clusters, {"name": "mine", "type": "STATIC", **cluster}))
    return validate(envoy.find(os.environ), PROXY, config, folder)


def test_what_is_right_is_accepted(tmp_path: Path) -> None:
    assert said(tmp_path) is None


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        (RING, "RingHashLbConfig.MinimumRingSize: value must be less than or equal to 8388608"),
        ({"connect_timeout": "99999999999999999999s"}, "connect_timeout: "),
        (
            {"common_lb_config": {"healthy_panic_threshold": {"value": 101}}},
            "Percent.Value: value must be inside range",
        ),
    ],
)
def test_what_a_field_cannot_be_is_told_without_all_that_is_right(
    tmp_path: Path, cluster: dict[str, Any], told: str
) -> None:
    reason = said(tmp_path, **cluster)
    assert reason is not None
    assert told in reason
    assert len(reason) < 400
    assert "filler" not in reason
    assert "goo.gle" not in reason


def test_the_words_that_a_log_cuts_off_at_their_beginning_are_the_same() -> None:
    assert plain(": Proto constraint validation failed (AValidationError.B: no | caused by C.D: too long)") == (
        "C.D: too long"
    )


def test_other_words_are_left_as_they_are() -> None:
    assert plain("missing ):\n (x") == "missing ): (x"
