"""How libcurl downloads one request on one thread; the handler hands them out."""
