"""The download handler: libcurl on threads."""
