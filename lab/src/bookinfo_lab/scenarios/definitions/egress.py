"""Scenario: calls to external services."""

from bookinfo_lab.scenarios.certificate import secret_manifest
from bookinfo_lab.scenarios.claims import CounterIncrease, Every, NoneOf
from bookinfo_lab.scenarios.definitions.shared import CLIENT, CLIENT_POD, NO_DETAILS, VERSIONS, pages
from bookinfo_lab.scenarios.matchers import Contains, HasStatus
from bookinfo_lab.scenarios.model import Counter, GeneratedManifest, Mesh, Observation, Scenario, Step, Traffic

BOOKS = "http://books.example/books/v1/volumes?q=isbn:0486424618"
CERTIFICATE = GeneratedManifest("bookinfo certificate books.example", lambda: secret_manifest("books.example"))
EXTERNAL = Contains("Outside Press")
BY_CLIENT = Traffic(CLIENT, BOOKS, count=10, dns_name="external-books")
PAGES = pages(20)
DIRECT = Traffic(CLIENT, "http://external-books/books/v1/volumes?q=isbn:0486424618", count=10)
"""The same service under its Service name. Only in the lab does the external service have one."""
OUTBOUND = r"cluster\.outbound\|80\|\|books\.example;?"
HANDSHAKES = Counter("details-v2", rf"{OUTBOUND}\.ssl\.handshake")
BY_DETAILS = Counter("details-v2", rf"{OUTBOUND}\.upstream_rq_total")
BY_GATEWAY = Counter("istio-egressgateway", rf"{OUTBOUND}\.upstream_rq_total")

SCENARIO = Scenario(
    name="egress",
    title="Egress: calls to external services",
    teaches="""\
Control which external services workloads may call, encrypt these calls, and route them through a gateway.""",
    text="""\
details v2 has no book data of its own. It calls an external book service, `books.example`, over plain HTTP. In the lab
kubernetes/external-books.yaml is this external service. It has no sidecar, and a certificate from its own CA.

By default Istio allows calls to all external hosts. The lab blocks unknown hosts by default, so the setup first allows
them (`allow-any.yaml`). A call to books.example still fails with 503, because no DNS server knows that name.""",
    setup=(
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
            title="Block unknown hosts",
            text="""\
With `REGISTRY_ONLY`, the caller's sidecar responds with 502 to a call to a host that the mesh does not know. It does
not resolve the name. The page has no details.

In a cluster the application resolves the name first. If DNS does not know it, the request never reaches the sidecar.
To observe the rule there, send the request to a name that DNS knows, with `books.example` in the Host header. The
sidecar routes by that header: without the rule the response is 200, from the external service, and with it 502, from
the sidecar.

```
kubectl exec deployment/client -c client -- curl -s -o /dev/null -w '%{http_code}\\n' \\
  -H 'Host: books.example' 'http://external-books/books/v1/volumes?q=isbn:0486424618'
```""",
            apply=("istio/egress/registry-only.yaml",),
            observations=(
                Observation(BY_CLIENT, effects=(Every(HasStatus(502)),)),
                Observation(PAGES, invariants=(Every(NO_DETAILS), Every(HasStatus(200)))),
            ),
        ),
        Step(
            title="Register the external service",
            text="""\
A ServiceEntry adds `books.example` to the mesh's registry. Workloads can now call it, and Istio's features for
internal services apply to it too: routes, timeouts and metrics.""",
            apply=("istio/egress/books-service-entry.yaml",),
            observations=(
                Observation(BY_CLIENT, effects=(Every(HasStatus(200)), Every(EXTERNAL))),
                Observation(PAGES, effects=(Every(EXTERNAL), NoneOf(NO_DETAILS))),
            ),
        ),
        Step(
            title="Originate TLS in the sidecar",
            text="""\
details still sends plain HTTP. Its sidecar connects to the external service with TLS, and validates the name in the
certificate and the CA from the Secret. The application needs no code and no certificates for this.""",
            apply=("istio/egress/books-tls-origination.yaml",),
            observations=(
                Observation(
                    PAGES,
                    effects=(CounterIncrease(HANDSHAKES, "TLS handshakes with books.example"),),
                    invariants=(Every(EXTERNAL), Every(HasStatus(200))),
                ),
            ),
        ),
        Step(
            title="Route through an egress gateway",
            text="""\
One exit is easier to monitor and to protect than one per pod. Sidecars send calls to `books.example` to the egress
gateway over mutual TLS, and the gateway originates TLS to the external service. The callers do not change.

One VirtualService contains both rules: requests from the mesh go to the gateway, and requests at the gateway go to the
external service.""",
            apply=("istio/egress/egress-gateway.yaml",),
            observations=(
                Observation(
                    PAGES,
                    effects=(
                        CounterIncrease(BY_GATEWAY, "requests sent to books.example", None),
                        CounterIncrease(BY_DETAILS, "requests sent to books.example by its own sidecar", 0, 0),
                    ),
                    invariants=(Every(EXTERNAL), Every(HasStatus(200))),
                ),
                Observation(DIRECT, invariants=(Every(HasStatus(200)),)),
            ),
        ),
        Step(
            title="Allow only the egress gateway",
            text="""\
So far workloads can bypass the gateway: the client calls the external service as `external-books`. Two policies
prevent this. A Sidecar resource restricts the sidecars to the hosts of Bookinfo and the gateway. An
AuthorizationPolicy at the gateway allows only details, which the gateway identifies by its certificate.""",
            apply=("istio/egress/only-by-gateway.yaml",),
            observations=(
                Observation(BY_CLIENT, effects=(Every(HasStatus(403)),)),
                Observation(DIRECT, effects=(Every(HasStatus(502)),)),
                Observation(PAGES, invariants=(Every(EXTERNAL), Every(HasStatus(200)))),
            ),
        ),
    ),
    meshes=(Mesh.SIDECAR,),  # a Sidecar resource applies to sidecars only
    further_reading="""\
`istio/egress/google-apis.yaml` does the same for the public Google Books API. In a cluster a Sidecar resource binds
only traffic that goes through the sidecar. A NetworkPolicy that allows external traffic only from the gateway closes
the remaining path.""",
)
