"""The download handlers: libcurl on threads or in the event loop."""
