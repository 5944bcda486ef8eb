"""The service's face for programs and operators: the API on the public port, health and metrics on another."""
