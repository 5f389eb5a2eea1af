"""A pipeline that writes into a database, by SQLAlchemy."""

from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, select

from shop.effects import note

METADATA = MetaData()
TITLES = Table(
    "titles",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("title", String),
)


class Stores:
    def __init__(self, url):
        self.url = url

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler.settings["DATABASE"])

    def open_spider(self):
        self.engine = create_engine(self.url)
        METADATA.create_all(self.engine)

    def process_item(self, item):
        with self.engine.begin() as connection:
            connection.execute(TITLES.insert().values(title=item["title"]))
        return item

    def close_spider(self):
        with self.engine.connect() as connection:
            for (title,) in connection.execute(select(TITLES.c.title)):
                note("stored", title)
        self.engine.dispose()
