"""What a running Envoy's log says of what it refused. That a lab tells it: tests/lab/test_trouble.py."""

from bookinfo_lab.runtime.delivery import complaint

PLACE = "[2026-11-22 17:00:00.000][1][warning][config] [source/x.cc:1] "
REASON = ": Proto constraint validation failed (AValidationError.B: embedded | caused by CValidationError.D: too long)"


def test_the_last_refusal_is_told_without_place_and_time() -> None:
    log = [f"{PLACE}gRPC update rejected: first", f"{PLACE}filesystem update rejected: missing ): (x", f"{PLACE}done"]
    assert complaint(log) == "missing ): (x"


def test_a_refusal_of_many_lines_is_told_by_its_reason() -> None:
    log = [f"{PLACE}update rejected: goo.gle/debugstr", "virtual_hosts {", "  [type.googleapis.com/x] {", "}", REASON]
    assert complaint([*log, f"{PLACE}done"]) == "C.D: too long"
    assert complaint(log[2:]) == "C.D: too long", "where its beginning is not among the lines that were read"


def test_an_empty_log_says_nothing() -> None:
    assert complaint([]) == ""
