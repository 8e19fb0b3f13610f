"""The graph and a waterfall in a terminal."""

from dataclasses import replace
from io import StringIO

from rich.console import Console, RenderableType

from bookinfo_lab.observe import terminal
from bookinfo_lab.observe.graph import Edge, Graph, Node
from bookinfo_lab.observe.spans import Event, Kind, Span
from bookinfo_lab.observe.waterfall import waterfall

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND

PAGE = Node("default/productpage-v1", "service", "productpage", "v1", "productpage-v1", "default", sidecar=True)
REVIEWS = Node("default/reviews-v1", "service", "reviews", "v1", "reviews-v1", "default", sidecar=True)
NOBODY = Node("?reviews", "nobody", "reviews", "", "", "unknown", sidecar=False)


def printed(shown: RenderableType, *, colours: bool = False) -> str:
    out = StringIO()
    Console(file=out, width=120, force_terminal=colours, color_system="standard" if colours else None).print(shown)
    return out.getvalue()


def edge(destination: Node, share: float, code: int = 200, flag: str = "") -> Edge:
    return Edge(
        source=PAGE.id,
        destination=destination.id,
        rate=8 * share,
        share=share,
        errors=float(code >= 500),
        refused=0.0,
        median=0.0042,
        p99=1.5,
        security="mutual_tls" if code == 200 else "unknown",
        codes={code: 10},
        flags={flag: 10} if flag else {},
        hidden=False,
    )


def span(name: str, parent: str, begin: float, end: float, kind: Kind = "server", **attributes: str) -> Span:
    named = {"service.name": name}
    begin_ns, end_ns = START + int(begin * SECOND), START + int(end * SECOND)
    return Span(
        "abc", name, parent, f"GET {name}", kind, begin_ns, end_ns, "response_flags" in attributes, named, attributes
    )


def test_a_graph_is_a_line_for_each_edge_and_names_a_caller_once() -> None:
    edges = (edge(REVIEWS, 0.75), edge(NOBODY, 0.25, code=500, flag="FI"))
    lines = printed(terminal.graph(Graph(10.0, (PAGE, REVIEWS, NOBODY), edges))).splitlines()
    assert lines[0].startswith("8.0/s from outside, over the last 10 s")
    assert " ".join(lines[2].split()) == "productpage v1 → reviews v1 6.0/s 75 % ████████ 4.2 ms 1.50 s mutual TLS"
    assert lines[3].split()[:5] == ["→", "reviews", "(nobody)", "2.0/s", "25"]
    assert lines[3].rstrip().endswith("25 % aborted")


def test_without_colours_there_are_none_and_with_colours_trouble_is_red() -> None:
    shown = terminal.graph(Graph(10.0, (PAGE, REVIEWS, NOBODY), (edge(NOBODY, 1.0, code=500, flag="FI"),)))
    assert "\x1b" not in printed(shown)
    assert "\x1b[31m100 % aborted" in printed(shown, colours=True)


def test_an_idle_graph_says_what_to_do() -> None:
    assert "bookinfo load" in printed(terminal.graph(Graph(10.0, (PAGE,))))


def test_a_waterfall_shows_the_tree_and_where_the_time_went() -> None:
    found = waterfall(
        [
            span("page", "", 0, 2),
            span("details", "page", 0.05, 0.2),
            span("reviews", "page", 0.1, 1.9, "client", response_flags="DI"),
        ]
    )
    text = printed(terminal.waterfall(found, width=120))
    first, page, details, reviews, last = text.splitlines()
    assert first == "GET page took 2.00 s; 90 % of it in reviews, calling: GET reviews (delayed on purpose)"
    assert page.startswith("page GET page ")
    assert details.startswith("├ details GET details ")
    assert reviews.startswith("└ reviews → GET reviews ")
    assert reviews.count("█") > 8 * page.count("█")
    assert "█" not in details
    assert reviews.rstrip().endswith("1.80 s DI")
    assert last.startswith("trace abc, ")


def test_traces_are_listed_with_what_took_their_time() -> None:
    found = waterfall([span("page", "", 0, 2), span("reviews", "page", 0.1, 1.9)])
    line = printed(terminal.traces([found.summary()])).splitlines()[1]
    assert line.split()[0] == "abc"
    assert line.rstrip().endswith("reviews: 1.80 s")


def test_times_are_said_as_people_say_them() -> None:
    assert [terminal.duration(seconds) for seconds in (0.0004, 0.0042, 0.0099, 0.042, 0.999, 1, 7.03)] == [
        "0.4 ms",
        "4.2 ms",
        "9.9 ms",
        "42 ms",
        "999 ms",
        "1.00 s",
        "7.03 s",
    ]


def test_a_part_that_is_missing_is_told_beside_the_span_that_went_without_it() -> None:
    missing = Event("degraded", START, {"section": "reviews", "status": 503})
    page = replace(span("productpage", "", 0, 1), events=(missing,))
    assert "degraded: section reviews, status 503" in printed(terminal.waterfall(waterfall([page]), 120))


def test_what_others_named_is_shown_as_it_is_and_steers_neither_table_nor_terminal() -> None:
    hostile = replace(span("productpage", "", 0, 1), name="GET /static/[/x] a[red]b \x1b[31m\x1b]0;title\x07")
    shown = waterfall([hostile])
    for text in (printed(terminal.waterfall(shown, 120)), printed(terminal.traces([shown.summary()]))):
        assert "GET /static/[/x] a[red]b" in " ".join(text.split())
        assert "\x1b" not in text
        assert "\x07" not in text
