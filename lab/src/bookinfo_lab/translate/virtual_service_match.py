"""The matches of a VirtualService as Envoy route matches.

Istio: TranslateRouteMatch, pilot/pkg/networking/core/route/route.go.
"""

from bookinfo_lab.resources.model.networking import HTTPMatch, StringMatch
from bookinfo_lab.translate.route_parts import ANY_PATH
from bookinfo_lab.translate.xds import Json


def route_match(match: HTTPMatch) -> Json:
    """Return the conditions of `match` that Envoy evaluates.

    The translation itself evaluates the others: gateways, port, source labels and source namespace.
    """
    conditions = _path(match)
    headers = [
        *(_header(name, value) for name, value in sorted(match.headers.items())),
        *(_without_header(name, value) for name, value in sorted(match.without_headers.items())),
        *(
            _header(name, value)
            for name, value in ((":scheme", match.scheme), (":method", match.method), (":authority", match.authority))
            if value
        ),
    ]
    if headers:
        conditions["headers"] = headers
    if match.query_params:
        conditions["query_parameters"] = [_query(name, value) for name, value in sorted(match.query_params.items())]
    return conditions


def is_catch_all(match: HTTPMatch) -> bool:
    """Return whether `match` matches every request, so that no request reaches later routes. Istio: isCatchAllMatch."""
    uri = match.uri
    every_path = uri is None or uri.prefix == "/" or uri.regex in ("*", ".*")
    others = (match.headers, match.without_headers, match.query_params, match.scheme, match.method, match.authority)
    return every_path and not any(others)


def string_matcher(value: StringMatch) -> Json:
    """Return an Envoy StringMatcher. A regular expression matches the whole value."""
    if value.regex is not None:
        return {"safe_regex": {"regex": value.regex}}
    if value.prefix is not None:
        return {"prefix": value.prefix}
    return {"exact": value.exact or ""}


def _path(match: HTTPMatch) -> Json:
    path: Json = dict(ANY_PATH)
    if match.uri is not None:
        if match.uri.regex is not None:
            path = {"safe_regex": {"regex": match.uri.regex}}
        elif match.uri.prefix is not None:
            path = {"prefix": match.uri.prefix}
        elif match.uri.exact is not None:
            path = {"path": match.uri.exact}
    return {**path, "case_sensitive": not match.ignore_uri_case}


def _header(name: str, value: StringMatch) -> Json:
    if value == StringMatch() or value.regex == "*":
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": string_matcher(value)}


def _without_header(name: str, value: StringMatch) -> Json:
    condition = {**_header(name, value), "invert_match": True}
    if "present_match" not in condition:
        # A request without the header also does not have the value.
        condition["treat_missing_header_as_empty"] = True
    return condition


def _query(name: str, value: StringMatch) -> Json:
    if value == StringMatch() or value.regex == "*":
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": string_matcher(value)}
