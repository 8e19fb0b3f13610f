"""VirtualService matches as Envoy's. Istio: TranslateRouteMatch, pilot/pkg/networking/core/route/route.go."""

from typing import Any

from bookinfo_lab.resources.model.networking import HTTPMatch, StringMatch

Json = dict[str, Any]

ANY_PATH: Json = {"prefix": "/"}


def route_match(match: HTTPMatch) -> Json:
    """`match` without what is decided at translation time (gateways, port, source labels, source namespace)."""
    rendered = _path(match)
    headers = [
        *(_header(name, value) for name, value in sorted(match.headers.items())),
        *(_absent(name, value) for name, value in sorted(match.without_headers.items())),
        *(
            _header(name, value)
            for name, value in ((":scheme", match.scheme), (":method", match.method), (":authority", match.authority))
            if value
        ),
    ]
    if headers:
        rendered["headers"] = headers
    if match.query_params:
        rendered["query_parameters"] = [_query(name, value) for name, value in sorted(match.query_params.items())]
    return rendered


def is_catch_all(match: HTTPMatch) -> bool:
    """Whether nothing that Envoy decides restricts `match`: rules after it are never reached (isCatchAllMatch)."""
    uri = match.uri
    everything = uri is None or uri.prefix == "/" or uri.regex in ("*", ".*")
    others = (match.headers, match.without_headers, match.query_params, match.scheme, match.method, match.authority)
    return everything and not any(others)


def string_matcher(value: StringMatch) -> Json:
    """An Envoy StringMatcher. A regular expression matches the whole value."""
    if value.regex is not None:
        return {"safe_regex": {"regex": value.regex}}
    if value.prefix is not None:
        return {"prefix": value.prefix}
    return {"exact": value.exact or ""}


def _path(match: HTTPMatch) -> Json:
    rendered: Json = dict(ANY_PATH)
    if match.uri is not None:
        if match.uri.regex is not None:
            rendered = {"safe_regex": {"regex": match.uri.regex}}
        elif match.uri.prefix is not None:
            rendered = {"prefix": match.uri.prefix}
        elif match.uri.exact is not None:
            rendered = {"path": match.uri.exact}
    return {**rendered, "case_sensitive": not match.ignore_uri_case}


def _header(name: str, value: StringMatch) -> Json:
    if value == StringMatch() or value.regex == "*":
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": string_matcher(value)}


def _absent(name: str, value: StringMatch) -> Json:
    rendered = {**_header(name, value), "invert_match": True}
    if "present_match" not in rendered:
        # A request without the header does not have the value either.
        rendered["treat_missing_header_as_empty"] = True
    return rendered


def _query(name: str, value: StringMatch) -> Json:
    if value == StringMatch() or value.regex == "*":
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": string_matcher(value)}
