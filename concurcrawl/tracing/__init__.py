"""One record per request: when, where, how long."""
