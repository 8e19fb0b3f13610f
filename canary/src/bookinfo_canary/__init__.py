"""The canary controller: it shifts a service's requests to a new version in steps, and rolls back a bad version.

`cli` reads the options. `controller` runs the steps. `gate` evaluates each step. `metrics` computes what the gate needs
from the counters that `metrics_sources` reads. `route_owner` changes one object on one of the `targets`, in a format of
`routes`.
"""
