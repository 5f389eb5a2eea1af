"""Python's own web server, for sites that need no more."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve(handler: type[BaseHTTPRequestHandler]) -> None:
    """Print the URL, and answer as *handler* does until standard input ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        host, port = server.server_address[:2]
        sys.stdout.write(f"http://{host!s}:{port}\n")
        sys.stdout.flush()
        threading.Thread(target=server.serve_forever).start()
        sys.stdin.read()
        server.shutdown()
