"""client: does nothing by itself; commands are run in its place (`bookinfo exec client -- ...`, `kubectl exec`)."""
