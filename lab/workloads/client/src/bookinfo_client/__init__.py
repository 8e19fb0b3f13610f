"""client: an idle workload. Commands run in it (`bookinfo exec client -- ...`, `kubectl exec`)."""
