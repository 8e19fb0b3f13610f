"""Sends requests and reports the responses: `python -m bookinfo_client.send < plan.json > results.json`.

It needs only Python, so the same code runs in a lab, in a container and in a pod. It uses the proxies that the
environment names, as curl does.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from email.message import Message
from http.client import HTTPException, HTTPMessage
from typing import IO

MAX_BODY = 64 * 1024
"""The number of body bytes that a result contains."""


@dataclass(frozen=True)
class RequestPlan:
    """The same request `count` times, `concurrency` at a time."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    count: int = 1
    concurrency: int = 1
    per_second: float = 0.0  # 0: no rate limit
    timeout: float = 20.0  # seconds


@dataclass(frozen=True)
class Result:
    """The response to one request."""

    status: int  # 0: no response
    seconds: float
    headers: Mapping[str, str]  # names in lower case
    body: str
    error: str = ""  # why there is no response


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Do not follow redirects."""


def send(plan: RequestPlan, proxies: Mapping[str, str] | None = None) -> list[Result]:
    """Send all requests of `plan`. The results, failed requests included, are in the order of the requests.

    `proxies` contains URLs by scheme. None means the proxies that the environment names.
    """
    handler = urllib.request.ProxyHandler(None if proxies is None else dict(proxies))
    opener = urllib.request.build_opener(_NoRedirect, handler)
    began = time.monotonic()

    def one(index: int) -> Result:
        if plan.per_second:
            time.sleep(max(0.0, began + index / plan.per_second - time.monotonic()))
        return _request(opener, plan)

    if plan.concurrency == 1:
        return [one(index) for index in range(plan.count)]
    with ThreadPoolExecutor(plan.concurrency) as pool:
        return list(pool.map(one, range(plan.count)))


def _request(opener: urllib.request.OpenerDirector, plan: RequestPlan) -> Result:
    request = urllib.request.Request(plan.url, method=plan.method, headers=dict(plan.headers))  # noqa: S310 - the caller chooses the URL
    if plan.method == "POST":
        request.data = b""
    began = time.monotonic()
    try:
        with opener.open(request, timeout=plan.timeout) as response:
            return _result(response.status, began, response.headers, response.read(MAX_BODY))
    except urllib.error.HTTPError as error:
        with error:
            return _result(error.code, began, error.headers, error.read(MAX_BODY))
    except (OSError, HTTPException) as error:
        return Result(0, time.monotonic() - began, {}, "", f"{type(error).__name__}: {error}")


def _result(status: int, began: float, headers: Message, body: bytes) -> Result:
    seconds = time.monotonic() - began
    return Result(status, seconds, {name.lower(): value for name, value in headers.items()}, body.decode("latin-1"))


def encode(results: Sequence[Result]) -> str:
    """Return the results as JSON."""
    return json.dumps([asdict(result) for result in results])


def decode(text: str) -> list[Result]:
    """Return the results from the JSON of `encode`."""
    return [Result(**item) for item in json.loads(text)]


if __name__ == "__main__":
    sys.stdout.write(encode(send(RequestPlan(**json.load(sys.stdin)))))
