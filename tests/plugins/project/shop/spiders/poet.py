"""A spider of scrapy-poet."""

from web_poet import WebPage, field

from shop.spiders.pages import Pages


class TitlePage(WebPage):
    @field
    def title(self):
        return self.css("h1::text").get()


class Poet(Pages):
    name = "poet"

    async def parse_page(self, response, page: TitlePage):
        yield await page.to_item()
