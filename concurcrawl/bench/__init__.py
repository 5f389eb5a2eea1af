"""The benchmark: everybody who gets pages, in turn, against targets."""
