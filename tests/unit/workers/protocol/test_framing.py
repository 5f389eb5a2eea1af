from __future__ import annotations

import functools
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsel import Selector
from scrapy import Field, Item, Request, Spider
from scrapy import Selector as ScrapySelector
from scrapy.http import HtmlResponse, Response, TextResponse, XmlResponse

from concurcrawl.errors import NotShippableError
from concurcrawl.workers.protocol.framing import Frames, frame
from concurcrawl.workers.protocol.messages.leases import Dispatch
from concurcrawl.workers.protocol.messages.lifecycle import Stop
from concurcrawl.workers.protocol.messages.questions import Answer
from concurcrawl.workers.protocol.messages.results import (
    LogLine,
    Product,
    RequestResult,
)
from concurcrawl.workers.protocol.messages.signals import Event, ResponseMeta
from concurcrawl.workers.protocol.messages.state import SetCookies
from concurcrawl.workers.protocol.pickle_codec import Codec
from tests.support.crawls import DEADLINE_S, ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAGE = (
    "<html><head><title>T</title></head><body><div><p class='a'>1 &lt; 2<b>3</b></p>"
    "<p>é</p><table><tr><td>1</td></tr></table><ul><li>2</li></ul><o:x>4</o:x>"
    "<img src='i.png'></div></body></html>"
)


class Country(Item):
    name = Field()
    facts = Field()


@dataclass
class Fact:
    name: str
    value: list[int]


class Shop(Spider):
    name = "shop"
    prefix = "ours"

    def parse(self, response: Response) -> str:
        return f"{self.prefix} {response.url}"

    def failed(self, failure: object) -> None: ...

    def make(self) -> Callable[[int], str]:
        step = 10
        return lambda number: f"{self.prefix} {number + step}"


def module_level(response: Response) -> str:
    return response.url


def pair() -> tuple[Codec, Codec, Shop, Shop]:
    """Return the codecs of two processes and the spider of each."""
    ours, theirs = Shop(), Shop()
    theirs.prefix = "theirs"
    return Codec({"spider": ours}), Codec({"spider": theirs}), ours, theirs


def copy(thing: Any) -> Any:
    return Codec().decode(Codec().encode(thing))


# Callables ----------------------------------------------------------------------


def test_a_spiders_method_is_the_receivers_own_spiders() -> None:
    here, there, ours, theirs = pair()
    request = Request("http://a.example/", callback=ours.parse, errback=ours.failed)
    found = there.decode(here.encode(request))
    assert found.callback == theirs.parse
    assert found.errback == theirs.failed


def test_a_lambda_travels() -> None:
    assert copy(lambda number: number + 1)(1) == 2


def test_a_closure_keeps_what_it_has_closed_over() -> None:
    found = [1, 2]
    assert copy(lambda: (found, len(found)))() == ([1, 2], 2)


def test_a_closure_over_self_means_the_receivers_spider() -> None:
    here, there, ours, _ = pair()
    assert there.decode(here.encode(ours.make()))(1) == "theirs 11"


def test_a_local_function_and_its_helper_travel() -> None:
    def helper(number: int) -> int:
        return number * 2

    def callback(number: int) -> int:
        return helper(number) + 1

    assert copy(callback)(4) == 9


def test_a_partial_of_a_method_travels() -> None:
    here, there, ours, _ = pair()
    partial = functools.partial(ours.parse, response=Response("http://a.example/"))
    assert there.decode(here.encode(partial))() == "theirs http://a.example/"


@pytest.mark.parametrize("thing", [module_level, Shop, Country, Shop.parse, len])
def test_what_has_an_address_is_the_same_object(thing: object) -> None:
    assert copy(thing) is thing


def test_a_local_class_travels_with_its_methods() -> None:
    class Local:
        def __init__(self, number: int) -> None:
            self.number = number

        def doubled(self) -> int:
            return self.number * 2

    found = copy(Local(4))
    assert found.doubled() == 8


# Residents ----------------------------------------------------------------------


def test_a_resident_travels_as_its_name_however_deep() -> None:
    here, there, ours, theirs = pair()
    found = there.decode(here.encode({"deep": [(ours, ours)]}))
    assert found["deep"][0][0] is found["deep"][0][1] is theirs


def test_a_resident_may_be_what_nobody_could_send() -> None:
    locks = threading.Lock(), threading.Lock()
    here, there = Codec({"lock": locks[0]}), Codec({"lock": locks[1]})
    assert there.decode(here.encode([locks[0]])) == [locks[1]]


def test_what_equals_a_resident_but_is_not_it_travels_by_value() -> None:
    here, there = Codec({"list": []}), Codec({"list": ["theirs"]})
    assert there.decode(here.encode([])) == []


# Scrapy's objects ---------------------------------------------------------------


def test_a_request_travels_with_all_that_it_has() -> None:
    request = Request(
        "http://a.example/?q=é",
        method="POST",
        headers={"X-A": ["1", "2"]},
        body="body",
        cookies={"a": "b"},
        meta={"depth": 3, "deep": {"set": {1, 2}}},
        priority=-4,
        dont_filter=True,
        flags=["flag"],
        cb_kwargs={"number": 5},
        encoding="latin-1",
    )
    found = copy(request)
    assert type(found) is Request
    names = set(Request.attributes) - {"callback", "errback"}
    assert {name: getattr(found, name) for name in names} == {
        name: getattr(request, name) for name in names
    }


@pytest.mark.parametrize("kind", [Response, TextResponse, HtmlResponse, XmlResponse])
def test_a_response_travels_without_its_connection(kind: type[Response]) -> None:
    response = kind(
        "http://a.example/",
        status=404,
        headers={"X-A": ["1", "2"]},
        body=b"\xe9",
        flags=["flag"],
        request=Request("http://a.example/asked", meta={"number": 5}),
        certificate=threading.Lock(),  # as good as a connection's
        protocol="h2",
    )
    if isinstance(response, TextResponse):
        response = response.replace(encoding="latin-1")
    found = copy(response)
    assert type(found) is kind
    assert found.certificate is None
    assert (found.url, found.status, found.headers, found.body) == (
        "http://a.example/",
        404,
        response.headers,
        b"\xe9",
    )
    assert (found.flags, found.protocol) == (["flag"], "h2")
    assert found.request is not None
    assert found.request.url == "http://a.example/asked"
    assert found.meta == {"number": 5}
    if isinstance(found, TextResponse):
        assert found.text == "é"


def test_a_response_in_meta_travels() -> None:
    page = HtmlResponse("http://a.example/", body=PAGE, encoding="utf-8")
    request = Request("http://b.example/", meta={"page": page})
    assert copy(request).meta["page"].css("title::text").get() == "T"


def test_a_selector_of_a_page_travels() -> None:
    found = copy(Selector(text=PAGE))
    assert found.xpath("/html/body/div/p/text()").getall() == ["1 < 2", "é"]


@pytest.mark.parametrize("kind", [Selector, ScrapySelector])
@pytest.mark.parametrize(
    "path",
    ["p", "p.a", "title", "b", "html", "body", "head", "tr", "li", "o\\:x", "img"],
)
def test_a_selected_part_travels(path: str, kind: type[Selector]) -> None:
    part = kind(text=PAGE).css(path)[0]
    found = copy(part)
    assert (type(found), found.get(), found.type) == (kind, part.get(), part.type)
    for query in (".//text()", "./*", "string(.)", "@class"):
        assert found.xpath(query).getall() == part.xpath(query).getall()


@pytest.mark.parametrize("kind", [Selector, ScrapySelector])
@pytest.mark.parametrize(
    "path", ["//p/text()", "//p/@class", "string(//p)", "count(//p)", "//b/text()"]
)
def test_a_selected_text_travels(path: str, kind: type[Selector]) -> None:
    part = kind(text=PAGE).xpath(path)[0]
    found = copy(part)
    assert (type(found), found.get(), found.type) == (kind, part.get(), part.type)


def test_a_list_of_selectors_travels() -> None:
    parts = Selector(text=PAGE).css("p")
    found = copy(parts)
    assert type(found) is type(parts)
    assert found.css("::text").getall() == parts.css("::text").getall()
    assert found.xpath("./b").getall() == parts.xpath("./b").getall()


def test_parts_of_xml_travel() -> None:
    text = "<list><entry><name>A</name></entry><entry><name>B</name></entry></list>"
    second = Selector(text=text, type="xml").xpath("//entry")[1]
    found = copy(second)
    assert (found.type, found.get()) == ("xml", second.get())
    assert found.xpath("./name/text()").get() == "B"


def test_namespaces_that_were_registered_travel() -> None:
    text = '<f:feed xmlns:f="urn:f"><f:entry>A</f:entry></f:feed>'
    feed = Selector(text=text, type="xml")
    feed.register_namespace("mine", "urn:f")
    assert copy(feed).xpath("//mine:entry/text()").getall() == ["A"]


def test_selectors_of_json_travel() -> None:
    selector = Selector(text='{"a": [{"b": "é"}, 2]}', type="json")
    found = copy(selector)
    assert found.jmespath("a[0].b").get() == "é"
    assert copy(selector.jmespath("a[1]")).getall() == [2]


@pytest.mark.parametrize(
    "item",
    [
        {"name": "Åland", "facts": [1, None, 2.5]},
        Country(name="Åland", facts={"a": (1, 2)}),
        Fact("Åland", [1]),
    ],
)
def test_items_of_all_kinds_travel(item: object) -> None:
    found = copy(item)
    assert type(found) is type(item)
    assert found == item


@given(
    thing=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary()
        | st.dates(),
        lambda inner: (
            st.lists(inner)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text(), inner)
        ),
    )
)
def test_plain_values_travel(thing: object) -> None:
    assert copy(thing) == thing


# A script's own module ----------------------------------------------------------

SCRIPT = """
import pickle, sys
from dataclasses import dataclass
from scrapy import Field, Item, Request, Spider
from concurcrawl.workers.protocol.pickle_codec import Codec

@dataclass
class Fact:
    value: int

class Country(Item):
    name = Field()

class Shop(Spider):
    name = "shop"
    def parse(self, response):
        yield Country(name="A")

def helper(value):
    return Fact(value)

if __name__ == "__main__":
    here = Codec()
    def copy(thing):
        return here.decode(here.encode(thing))
    assert type(copy(Country(name="A"))) is Country
    assert copy(Fact(3)) == Fact(3)
    assert copy(helper) is helper
    made = copy(lambda value: [helper(value), Country(name=str(value))])(4)
    assert made == [Fact(4), Country(name="4")]
    assert [type(one) for one in made] == [Fact, Country]
    def outer():
        class Local:
            fact = Fact(5)
        return Local
    assert type(copy(outer())().fact) is Fact
    print("as it was")
"""


def test_items_of_a_scripts_own_module_keep_their_class(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    found = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "as it was\n", "")


# What cannot travel -------------------------------------------------------------


def test_what_cannot_be_sent_is_named_with_the_reason() -> None:
    request = Request("http://a.example/", meta={"pages": (page for page in "ab")})
    with pytest.raises(NotShippableError) as raised:
        Codec().encode(request)
    assert raised.value.what == "<GET http://a.example/>"
    assert "generator" in raised.value.reason


def test_a_long_thing_is_named_by_its_beginning() -> None:
    with pytest.raises(NotShippableError) as raised:
        Codec().encode(["x" * 1000, (page for page in "ab")])
    assert raised.value.what == "['" + "x" * 198 + "…"


def test_a_failure_of_the_things_own_code_is_a_refusal_too() -> None:
    class Shy:
        def __reduce__(self) -> Any:
            raise RuntimeError("not me")

    with pytest.raises(NotShippableError) as raised:
        Codec().encode([Shy()])
    assert raised.value.reason == "not me"


# Frames -------------------------------------------------------------------------

MESSAGES: list[Any] = [
    Stop(),
    Dispatch(lease_id=3, queued_s=1.5, payload=b""),
    SetCookies(()),
    RequestResult(
        lease_id=3,
        responses=[
            ResponseMeta(HtmlResponse, "http://a/", 200, {b"A": [b"1"]}, (), None)
        ],
        events=[Event("response_received", response=0)],
        products=[Product(is_item=True, payload=b"\0" * 300, key=b"")],
        stats={("inc", "k"): 2},
        logs=[LogLine("scrapy", 20, 1.5, "message", None)],
    ),
    Stop(),
]


def values(message: Any) -> object:
    if isinstance(message, tuple):
        return type(message), tuple(message)
    return type(message), [getattr(message, field.name) for field in fields(message)]


def test_a_frame_is_a_length_and_a_pickle() -> None:
    framed = frame(Stop())
    assert int.from_bytes(framed[:8]) == len(framed) - 8
    assert pickle.loads(framed[8:]) == Stop()


def test_a_stream_that_is_cut_at_any_byte_gives_the_same_messages() -> None:
    stream = b"".join(frame(message) for message in MESSAGES)
    for cut in range(len(stream) + 1):
        frames = Frames()
        found = [*frames.feed(stream[:cut]), *frames.feed(stream[cut:])]
        assert [values(m) for m in found] == [values(m) for m in MESSAGES], cut


def test_a_message_comes_with_its_last_byte_and_not_before() -> None:
    frames = Frames()
    framed = frame(MESSAGES[1])
    counts = [len(list(frames.feed(framed[at : at + 1]))) for at in range(len(framed))]
    assert counts == [0] * (len(framed) - 1) + [1]


@given(data=st.data())
def test_a_stream_that_is_cut_anyhow_gives_the_same_messages(
    data: st.DataObject,
) -> None:
    stream = b"".join(frame(message) for message in MESSAGES * 2)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    frames = Frames()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += list(frames.feed(stream[start:end]))
    assert [values(m) for m in found] == [values(m) for m in MESSAGES * 2]


def test_a_message_that_names_anything_else_is_refused() -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("true",)

    body = pickle.dumps(Evil())
    with pytest.raises(pickle.UnpicklingError, match="is not allowed in a message"):
        list(Frames().feed(len(body).to_bytes(8, "big") + body))


def test_errors_travel_from_a_process_that_has_imported_dask() -> None:
    import distributed  # which changes how exceptions are pickled

    assert distributed.__version__
    try:
        try:
            int("x")
        except ValueError as error:
            raise OSError(2, "no number") from error
    except OSError as error:
        (answer,) = Frames().feed(frame(Answer(1, error=error)))
    assert isinstance(answer.error, FileNotFoundError)
    assert answer.error.strerror == "no number"
