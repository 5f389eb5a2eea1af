"""A crawler process that downloads and runs callbacks."""
