"""The objects that users apply: documents, their store, workloads, the topology, schemas and typed rules."""
