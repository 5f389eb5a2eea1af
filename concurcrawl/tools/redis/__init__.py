"""Commands for crawls that several nodes share over Redis."""
