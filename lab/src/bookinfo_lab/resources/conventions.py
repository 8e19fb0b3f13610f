"""Ports, labels and names that several parts of the lab must agree on."""

PROXY_PORT = 15080
"""Where a sidecar, or the relay that replaces it, accepts the application's outbound requests. Istio calls
this mechanism `proxyHttpPort`."""

METRICS_PORT = 15020
"""Where a sidecar serves the application's metrics in plain text, outside mutual TLS. Istio's status port."""

METRICS_PATH = "/metrics"

OTLP_PORT = 4318
"""OpenTelemetry's port for OTLP over HTTP."""

COLLECTOR = "collector"
"""The cluster, and the host name, to which proxies send spans."""

APP_LABEL = "app"
VERSION_LABEL = "version"

INJECT = "sidecar.istio.io/inject"
"""A label or annotation of a pod: "false" keeps it out of the mesh."""

INJECT_TEMPLATES = "inject.istio.io/templates"
"""An annotation of a pod: "gateway" makes it a gateway's proxy without an application."""

GATEWAY_NAME_LABEL = "gateway.networking.k8s.io/gateway-name"
GATEWAY_CLASS_LABEL = "gateway.networking.k8s.io/gateway-class-name"
