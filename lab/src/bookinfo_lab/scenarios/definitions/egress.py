"""Scenario: the world outside."""

from bookinfo_lab.scenarios.certificate import secret_manifest
from bookinfo_lab.scenarios.claims import Counts, Every, No
from bookinfo_lab.scenarios.definitions.parts import CLIENT, CLIENT_POD, NO_DETAILS, VERSIONS, pages
from bookinfo_lab.scenarios.matchers import Answered, Showing
from bookinfo_lab.scenarios.model import Counter, Generated, Mesh, Observation, Scenario, Step, Traffic

BOOKS = "http://books.example/books/v1/volumes?q=isbn:0486424618"
CERTIFICATE = Generated("bookinfo certificate books.example", lambda: secret_manifest("books.example"))
OUTSIDE = Showing("Outside Press")
BY_CLIENT = Traffic(CLIENT, BOOKS, count=10, known_as="external-books")
PAGES = pages(20)
AROUND = Traffic(CLIENT, "http://external-books/books/v1/volumes?q=isbn:0486424618", count=10)
"""The same service by the name of its Service: in a lab the world outside has one."""
OUTBOUND = r"cluster\.outbound\|80\|\|books\.example;?"
HANDSHAKES = Counter("details-v2", rf"{OUTBOUND}\.ssl\.handshake")
BY_DETAILS = Counter("details-v2", rf"{OUTBOUND}\.upstream_rq_total")
BY_GATEWAY = Counter("istio-egressgateway", rf"{OUTBOUND}\.upstream_rq_total")

SCENARIO = Scenario(
    name="egress",
    title="Egress: the world outside",
    teaches="How to decide what outside the mesh may be called, to encrypt what goes there, and to guard the way out.",
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
        "kubernetes/egress-gateway.yaml",
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

In a cluster the application itself looks the name up first, and where DNS does not know it nothing comes as far as the
sidecar. There the client calls the address of a name that DNS does know, as `books.example`: the sidecar decides by the
Host header. Without the rule the outside answers (200), with it the sidecar (502):

```
kubectl exec deployment/client -c client -- curl -s -o /dev/null -w '%{http_code}\\n' \\
  -H 'Host: books.example' 'http://external-books/books/v1/volumes?q=isbn:0486424618'
```""",
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
        Step(
            title="Out by a gateway",
            text="""\
One way out is easier to watch and to guard than one in every pod. Sidecars send calls of `books.example` to the egress
gateway, by mutual TLS, and the gateway is the one that speaks TLS with the world outside. Who calls notices nothing.

A VirtualService does it with two rules: what comes from the mesh goes to the gateway, what comes to the gateway goes
outside.""",
            apply=("istio/egress/egress-gateway.yaml",),
            observations=(
                Observation(
                    PAGES,
                    shows=(
                        Counts(BY_GATEWAY, "requests sent to books.example", None),
                        Counts(BY_DETAILS, "requests sent to books.example by its own sidecar", 0, 0),
                    ),
                    keeps=(Every(OUTSIDE), Every(Answered(200))),
                ),
                Observation(AROUND, keeps=(Every(Answered(200)),)),
            ),
        ),
        Step(
            title="Only the gateway gets out",
            text="""\
So far that is an offer: the client calls the outside as `external-books` and goes around the gateway. Two policies make
it the rule. A Sidecar leaves the sidecars no host but those of Bookinfo and the gateway, and at the gateway an
AuthorizationPolicy lets details out and nobody else: it knows its callers by their certificates.""",
            apply=("istio/egress/only-by-gateway.yaml",),
            observations=(
                Observation(BY_CLIENT, shows=(Every(Answered(403)),)),
                Observation(AROUND, shows=(Every(Answered(502)),)),
                Observation(PAGES, keeps=(Every(OUTSIDE), Every(Answered(200)))),
            ),
        ),
    ),
    meshes=(Mesh.SIDECAR,),  # a Sidecar resource is for sidecars
    more="""\
`istio/egress/google-apis.yaml` is the same for the public Google Books API. In a cluster a Sidecar binds only those who
use theirs: a NetworkPolicy that lets no pod but the gateway out is what closes the way around it.""",
)
