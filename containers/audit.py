"""Look up known vulnerabilities of the locked packages, after a check that the advisory service has data.

Exit codes: 0 if every package was looked up and none is vulnerable; 1 if a package is vulnerable or was not looked up;
2 if no advisory service with data is available.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements/dev.txt", "requirements/containers.txt")
"""The lock file with every package of the other lock files, and the one that is resolved separately."""

SERVICES = ("pypi", "osv")
KNOWN_VULNERABLE = "jinja2==2.4.1"  # CVE-2014-0012, CVE-2019-10906 and others
"""A control: a service that does not report this package has no advisory data."""

Query = Callable[[str, Sequence[str]], Any]
"""Returns pip-audit's JSON for a service and requirements files, or None if the service does not respond."""


@dataclass(frozen=True)
class Report:
    """The lines to print, and the exit code."""

    lines: tuple[str, ...]
    exit_code: int


def audit(query: Query, control: str, locks: Sequence[str]) -> Report:
    """Return the report on `locks` of the first service that reports the vulnerabilities of the file `control`."""
    for service in SERVICES:
        if _vulnerable(query(service, [control])):
            return _report(service, query(service, locks))
    tried = " and ".join(SERVICES)
    message = (
        f"audit: no advisory data: {tried} do not report the known vulnerabilities of {KNOWN_VULNERABLE}; "
        "run it where one of them can be reached"
    )
    return Report((message,), 2)


def _report(service: str, response: Any) -> Report:
    if response is None:
        return Report((f"audit: {service} did not respond for {' and '.join(LOCKS)}; run it again",), 1)
    dependencies = response["dependencies"]
    vulnerabilities = [
        f"audit: {item['name']} {item['version']}: {advisory['id']}; upgrade to {' or '.join(advisory['fix_versions'])}"
        for item in _vulnerable(response)
        for advisory in item["vulns"]
    ]
    skipped = [f"audit: {item['name']}: {item['skip_reason']}" for item in dependencies if "skip_reason" in item]
    count = len(dependencies) - len(skipped)
    summary = f"audit: {service}: {count} packages checked, {len(vulnerabilities)} vulnerabilities"
    return Report((*vulnerabilities, *skipped, summary), 1 if vulnerabilities or skipped else 0)


def _vulnerable(response: Any) -> list[Any]:
    return [item for item in response["dependencies"] if item.get("vulns")] if response else []


def pip_audit(service: str, files: Sequence[str]) -> Any:
    """Return pip-audit's JSON, or None if the service does not respond. Nothing is installed."""
    # pip-audit exits 1 for vulnerabilities and for an unreachable service. Only the former prints JSON.
    done = subprocess.run(  # noqa: S603 - the locked tool
        [
            *(sys.executable, "-m", "pip_audit", "--vulnerability-service", service, "--format", "json"),
            *("--disable-pip", "--no-deps", "--progress-spinner", "off"),
            *(argument for file in files for argument in ("--requirement", file)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        return None


def main() -> None:
    """Print the report on the lock files, and exit with its code."""
    with tempfile.TemporaryDirectory() as directory:
        control = Path(directory) / "control.txt"
        control.write_text(f"{KNOWN_VULNERABLE}\n")
        report = audit(pip_audit, str(control), LOCKS)
    sys.stdout.writelines(f"{line}\n" for line in report.lines)
    sys.exit(report.exit_code)


if __name__ == "__main__":
    main()
