"""Components of the project's own, around plugins and like them."""

import logging
import zipfile
from io import BytesIO
from urllib.parse import urlsplit

from itemadapter import ItemAdapter
from scrapy import signals

from shop.effects import note


class Kinds:
    """Pipeline that notes what kinds of items come."""

    def process_item(self, item):
        note(type(item).__name__, ItemAdapter(item).asdict())
        return item


class Shipper(logging.Handler):
    """Extension that ships log records, whole."""

    @classmethod
    def from_crawler(cls, crawler):
        it = cls()
        logging.getLogger("broken").addHandler(it)
        logging.getLogger("scrapy.core.scraper").addHandler(it)
        return it

    def emit(self, record):
        if record.levelno < logging.INFO:
            return
        error = record.exc_info[1] if record.exc_info else None
        page = getattr(record, "page", None)
        note(record.msg, record.funcName, page, repr(error))


#: A signal of the project's own.
SEEN = object()


class Sends:
    """Downloader middleware that sends it."""

    def __init__(self, crawler):
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def process_response(self, request, response):
        self.crawler.signals.send_catch_log(SEEN, path=urlsplit(response.url).path)
        return response


class Hears:
    """Extension that connects to it."""

    @classmethod
    def from_crawler(cls, crawler):
        it = cls()
        crawler.signals.connect(it.seen, SEEN)
        return it

    def seen(self, path):
        note("seen", path)


class Slows:
    """Extension that sets the delay of a slot, as throttles do."""

    def __init__(self, crawler):
        self.crawler = crawler
        crawler.signals.connect(self.slow_down, signals.response_received)

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def slow_down(self, request):
        slot = self.crawler.engine.downloader.slots[request.meta["download_slot"]]
        slot.delay = 0.3


class ReadsArchive:
    """Extension that notes what scrapy-webarchive has written."""

    def __init__(self, folder):
        self.folder = folder

    @classmethod
    def from_crawler(cls, crawler):
        it = cls(crawler.settings["FOLDER"])
        crawler.signals.connect(it.read, signals.engine_stopped)
        return it

    def read(self):
        from pathlib import Path

        from warcio.archiveiterator import ArchiveIterator

        for path in Path(self.folder).rglob("*.wacz"):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if ".warc" not in name:
                        continue
                    for record in ArchiveIterator(BytesIO(archive.read(name))):
                        url = record.rec_headers.get_header("WARC-Target-URI")
                        body = record.content_stream().read()
                        sent = record.http_headers
                        has_agent = bool(sent and sent.get_header("User-Agent"))
                        if record.rec_type == "warcinfo":
                            continue
                        note(record.rec_type, urlsplit(url).path, len(body), has_agent)


class Warcio:
    """Downloader middleware as scrapy-warcio's page tells to write it."""

    def __init__(self):
        import os
        from pathlib import Path

        import scrapy_warcio

        folder = Path(os.environ["EFFECTS"]).parent
        os.environ["SCRAPY_WARCIO_SETTINGS"] = str(folder / "warcio.yaml")
        (folder / "warcs").mkdir(exist_ok=True)
        keys = ("collection", "description", "operator", "robots", "user_agent")
        lines = [f"{key}: it" for key in (*keys, "warc_prefix", "warc_spec")]
        lines += [f"warc_dest: {folder / 'warcs'}", "max_warc_size: 1000000"]
        (folder / "warcio.yaml").write_text("\n".join(lines))
        self.warcio = scrapy_warcio.ScrapyWarcIo()
        self.date = scrapy_warcio.warc_date

    def process_request(self, request):
        request.meta["WARC-Date"] = self.date()

    def process_response(self, request, response):
        self.warcio.write(response, request)
        note("archived", urlsplit(response.url).path)
        return response
