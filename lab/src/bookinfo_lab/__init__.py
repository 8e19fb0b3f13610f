"""The local lab: Kubernetes and Istio manifests, run as processes and real Envoys on one machine."""
