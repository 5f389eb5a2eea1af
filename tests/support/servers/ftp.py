"""An FTP server for feeds: serves a folder until its standard input ends."""

from __future__ import annotations

import sys
import threading

from pyftpdlib.authorizers import (  # type: ignore[import-untyped]  # it has no types
    DummyAuthorizer,
)
from pyftpdlib.handlers import (  # type: ignore[import-untyped]  # it has no types
    FTPHandler,
)
from pyftpdlib.servers import (  # type: ignore[import-untyped]  # it has no types
    FTPServer,
)


def main(folder: str) -> None:
    """Serve *folder* and print the address, with user and password."""
    authorizer = DummyAuthorizer()
    authorizer.add_user("user", "secret", folder, perm="elradfmw")
    FTPHandler.authorizer = authorizer
    server = FTPServer(("127.0.0.1", 0), FTPHandler)
    sys.stdout.write(f"ftp://user:secret@127.0.0.1:{server.address[1]}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
