"""Scenario: the world outside."""

from bookinfo_lab.scenarios.certificate import secret_manifest
from bookinfo_lab.scenarios.claims import Counts, Every, No
from bookinfo_lab.scenarios.definitions.parts import CLIENT, CLIENT_POD, NO_DETAILS, VERSIONS, pages
from bookinfo_lab.scenarios.matchers import Answered, Showing
from bookinfo_lab.scenarios.model import Counter, Generated, Mesh, Observation, Scenario, Step, Traffic

BOOKS = "http://books.example/books/v1/volumes?q=isbn:0486424618"
CERTIFICATE = Generated("bookinfo certificate books.example", lambda: secret_manifest("books.example"))
OUTSIDE = Showing("Outside Press")
BY_CLIENT = Traffic(CLIENT, BOOKS, count=10)
PAGES = pages(20)
HANDSHAKES = Counter("details-v2", r"cluster\.outbound\|80\|\|books\.example;?\.ssl\.handshake")

SCENARIO = Scenario(
    name="egress",
    title="Egress: the world outside",
    teaches="How to decide which hosts outside the mesh may be called, and to encrypt what goes there.",
    text="""\
details v2 does not know the book itself: it asks an external book service, `books.example`, by plain HTTP. In the lab
kubernetes/external-books.yaml plays the world outside: it has no sidecar, and a certificate of its own authority.

Istio lets everything out unless it is told otherwise. A lab starts where a careful cluster ends, so the first thing to
do here is to let everything out: `allow-any.yaml`. A call of books.example then fails only because no DNS server knows
that name: 503.""",
    given=(
        VERSIONS,
        CLIENT_POD,
        CERTIFICATE,
        "kubernetes/external-books.yaml",
        "kubernetes/details-v2.yaml",
        "istio/egress/details-v2.yaml",
        "istio/egress/allow-any.yaml",
    ),
    steps=(
        Step(
            title="Nobody gets out",
            text="""\
With `REGISTRY_ONLY` a call to a host that the mesh does not know is answered 502 by the caller's own sidecar, which
does not even look for it. The page has no details.

In a cluster the application itself looks the name up first. Where DNS does not know it nothing comes as far as the
sidecar, and `bookinfo verify` says "not checked".""",
            apply=("istio/egress/registry-only.yaml",),
            observations=(
                Observation(BY_CLIENT, shows=(Every(Answered(502)),)),
                Observation(PAGES, keeps=(Every(NO_DETAILS), Every(Answered(200)))),
            ),
        ),
        Step(
            title="The book service is known",
            text="""\
A ServiceEntry makes `books.example` a part of what the mesh knows. It can be called now, and all that Istio does for
the services inside it does for this one: routes, timeouts, counting.""",
            apply=("istio/egress/books-service-entry.yaml",),
            observations=(
                Observation(BY_CLIENT, shows=(Every(Answered(200)), Every(OUTSIDE))),
                Observation(PAGES, shows=(Every(OUTSIDE), No(NO_DETAILS))),
            ),
        ),
        Step(
            title="Encrypted from the sidecar on",
            text="""\
details goes on calling plain HTTP, and its sidecar speaks TLS with the world outside, checks the certificate against
the authority in the Secret and the name in it. The application needs neither code nor certificates for that.""",
            apply=("istio/egress/books-tls-origination.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(Counts(HANDSHAKES, "TLS handshakes with books.example"),),
                    keeps=(Every(OUTSIDE), Every(Answered(200))),
                ),
            ),
        ),
    ),
    meshes=(Mesh.SIDECAR,),  # a Sidecar resource is for sidecars
    more="`istio/egress/google-apis.yaml` is the same for the public Google Books API.",
)
