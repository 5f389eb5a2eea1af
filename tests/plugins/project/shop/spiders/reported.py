"""Spiders whose errors are reported to Sentry."""

from shop.sentry import OPTIONS
from shop.spiders.pages import Broken


class Reported(Broken):
    name = "reported"
    custom_settings = {
        "EXTENSIONS": {"scrapy_sentry_sdk.extensions.SentryLogging": 0},
        "SENTRY_DSN": "http://key@127.0.0.1:9/1",
        "SENTRY_CLIENT_OPTIONS": OPTIONS,
    }


class ReportedBySignal(Broken):
    name = "reported_by_signal"
    custom_settings = {
        "EXTENSIONS": {"shop.sentry.Errors": 0},
        "SENTRY_DSN": "http://key@127.0.0.1:9/1",
    }
