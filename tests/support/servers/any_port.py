"""Scrapyd's application on a port that the system chooses: its ``application`` option.

Scrapyd itself takes port 0 for none at all. A copy of this file stands in the server's
folder, so that nothing else of this repository is importable there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapyd.app import application as scrapyd_application
from twisted.application.internet import TCPServer
from twisted.application.service import IServiceCollection

if TYPE_CHECKING:
    from scrapyd.config import Config


class AnnouncedServer(TCPServer):
    """Writes the URL it listens at into the file ``url``."""

    _port: Any

    def startService(self) -> None:  # noqa: N802 - Twisted's name
        super().startService()  # type: ignore[no-untyped-call]
        port = self._port.getHost().port
        Path("url.new").write_text(f"http://127.0.0.1:{port}/", encoding="ascii")
        Path("url.new").rename("url")


def application(config: Config) -> Any:
    """Return Scrapyd's, with its server on port 0."""
    app: Any = scrapyd_application(config)
    services: Any = IServiceCollection(app)
    for service in list(services):
        if isinstance(service, TCPServer):
            services.removeService(service)
            _, factory = service.args
            server: Any = AnnouncedServer
            server(0, factory, interface="127.0.0.1").setServiceParent(app)
    return app
