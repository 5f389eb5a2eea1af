"""What Sentry's SDK would send, in the file of effects."""

from scrapy_sentry_errors.extensions import Errors as Published
from sentry_sdk.transport import Transport

from shop.effects import note


class Kept(Transport):
    """In the place of the transport that sends."""

    def capture_envelope(self, envelope):
        event = envelope.get_event()
        if event is None:
            return
        template = event.get("logentry", {}).get("message")
        errors = event.get("exception", {}).get("values", [])
        for error in errors:
            frames = [frame["function"] for frame in error["stacktrace"]["frames"]]
            note(template, error["type"], error["value"], frames[-1], len(frames) > 1)
        if not errors:
            note(template, "without exception")


OPTIONS = {"transport": Kept}


class Errors(Published):
    """scrapy-sentry-errors, which takes no options from settings."""

    def get_client(self, dsn=None, **options):
        return super().get_client(dsn, **options, **OPTIONS)
