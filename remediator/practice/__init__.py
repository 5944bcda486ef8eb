"""A cluster to rehearse on: a Kubernetes API server in memory, over real HTTP, with controllers and faults."""
