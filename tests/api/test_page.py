"""The page of the HTTP API: that it is whole, asks for nothing elsewhere, can be read by all, and is true."""

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import click.testing
import pytest

from pinwarden.cli import pinwarden
from pinwarden_server.api_page import PAGE_ADDRESS, POLICY, SERVER, STYLE_ADDRESS
from pinwarden_server.api_words import EXAMPLES, WAYS_OUT
from pinwarden_server.cli import server
from pinwarden_server.installation import init_development
from pinwarden_server.operations import OPERATIONS
from tests.server.http.conftest import Service, serving

VOID = {"meta", "link", "br"}
WITHOUT_MEMBERS = {"Description", "Page", "Style", "Metrics"}
DOCS = Path(__file__).parents[2] / "docs"


class Element:
    """One element of a page: its tag, its attributes, what is in it."""

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[Element | str] = []

    def __iter__(self) -> Iterator["Element"]:
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, *tags: str) -> list["Element"]:
        return [each for each in self if each.tag in tags]

    def classed(self, name: str) -> list["Element"]:
        return [each for each in self if name in (each.attributes.get("class") or "").split()]


class Reader(HTMLParser):
    """Reads a page strictly: every element is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Element("page", {})
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root], [each.tag for each in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("page") / "server"
    with serving(init_development(folder, bind=None, label="page", now=datetime.now(UTC))) as service:
        service.create("shop", "live", "spare")
        yield service


@pytest.fixture(scope="module")
def page(service: Service) -> Element:
    return Reader(service.client.get(PAGE_ADDRESS).text).root


def articles(page: Element) -> dict[str, Element]:
    """Return the article of every operation by its name."""
    found = {str(each.attributes["id"]): each for each in page.all("article")}
    return {name: each for name, each in found.items() if not name.startswith("answer-")}


def test_the_page_and_its_style_come_with_a_policy_that_lets_in_nothing_else(service: Service):
    page, style = service.client.get(PAGE_ADDRESS), service.client.get(STYLE_ADDRESS)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Content-Security-Policy"] == POLICY
    assert POLICY.startswith("default-src 'none'; style-src 'self';")
    assert (style.status_code, style.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    for answer in (page, style):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_asks_for_nothing_but_its_style_and_runs_nothing(service: Service, page: Element):
    assert page.all("script", "img", "iframe", "object", "form", "style", "base", "source", "video") == []
    assert [each.attributes for each in page.all("link")] == [{"rel": "stylesheet", "href": STYLE_ADDRESS}]
    asked = {name for each in page for name in each.attributes if name in ("src", "srcset", "style", "action")}
    assert asked | {name for each in page for name in each.attributes if name.startswith("on")} == set()
    targets = {str(each.attributes["href"]) for each in page.all("a")}
    assert {target for target in targets if not target.startswith("#")} == {"/openapi.json"}
    assert re.findall(r"url\(|@import|expression", service.client.get(STYLE_ADDRESS).text) == []


def test_every_link_in_the_page_leads_to_one_place(page: Element):
    names = [each.attributes["id"] for each in page if "id" in each.attributes]
    assert len(names) == len(set(names))
    wanted = {str(each.attributes["href"]) for each in page.all("a")} - {"/openapi.json"}
    labels = {str(each.attributes["aria-labelledby"]) for each in page if "aria-labelledby" in each.attributes}
    assert {target.removeprefix("#") for target in wanted} | labels <= set(names)


def test_headings_go_down_one_step_at_a_time_and_there_is_one_first(page: Element):
    levels = [int(each.tag[1]) for each in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert [(one, two) for one, two in pairwise(levels) if two > one + 1] == []
    assert all(each.text.strip() for each in page.all("h1", "h2", "h3", "h4"))


def test_the_page_can_be_read_aloud_and_by_keyboard(page: Element):
    (html,) = page.all("html")
    assert html.attributes["lang"] == "en"
    assert len(page.all("main")) == len(page.all("title")) == 1
    skip = page.all("a")[0]
    assert skip.attributes["href"] == f"#{page.all('main')[0].attributes['id']}"
    for scrolled in (*page.classed("wide"), *page.all("pre")):
        assert scrolled.attributes["tabindex"] == "0"
        assert scrolled.attributes["aria-label"]
    for table in page.all("table"):
        assert {each.attributes["scope"] for each in table.all("th")} == {"col", "row"}
    regions = [str(each.attributes["aria-label"]) for each in page.classed("wide")]
    assert len(regions) == len(set(regions))


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb (WCAG 2.2)."""
    parts = (int(colour[number : number + 2], 16) / 255 for number in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_of_text_stands_out_from_both_grounds(service: Service, scheme: str):
    style = service.client.get(STYLE_ADDRESS).text
    colours = dict(
        re.findall(r"--([a-z]+): (#[0-9a-f]{6})", style.split(":root {")[["light", "dark"].index(scheme) + 1])
    )
    assert colours.keys() == {"bg", "fg", "muted", "line", "card", "accent", "ok", "warn", "bad"}
    for ground in ("bg", "card"):
        for text in ("fg", "muted", "accent", "ok", "warn", "bad"):
            high, low = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_every_operation_is_shown_with_its_right_parameters_and_refusals(page: Element):
    shown = articles(page)
    assert list(shown) == sorted(shown, key=list(shown).index)
    assert shown.keys() == {each.id for each in OPERATIONS} == EXAMPLES.keys()
    for operation in OPERATIONS:
        article = shown[operation.id]
        call = article.classed("call")[0].text.split()
        assert call == [operation.method, operation.path]
        if operation.right is not None:
            assert f"Right {operation.right.value};" in article.classed("right")[0].text
        assert ("logged in recently" in article.classed("right")[0].text) == operation.step_up
        answers = article.classed("answers")[0].all("li")
        assert [each.classed("status")[0].text for each in answers if each.all("a")] == [
            str(status) for status, name in operation.answers if name not in WITHOUT_MEMBERS
        ]
        refused = article.classed("refusals")[0]
        assert {row.all("code")[0].text for row in refused.all("tr")[1:]} == {kind.slug for kind in operation.problems}
        assert all(row.all("td")[-1].text for row in refused.all("tr")[1:])


def test_the_ways_out_are_those_of_the_documentation():
    rows = re.findall(r"(?m)^\| `([a-z-]+)` \| \d{3} \| .*? \| ([^|]*) \|$", (DOCS / "admin-api.md").read_text("utf-8"))
    assert {kind: way_out.replace("`", "") for kind, way_out in rows} == WAYS_OUT


def test_every_example_of_the_page_is_answered_as_it_is_meant(service: Service, page: Element):
    for name, article in articles(page).items():
        method, url, headers = sent(article.classed("curl")[0].text)
        body = article.classed("body")
        assert url.startswith(SERVER)
        assert ("Content-Type" in headers) == bool(body)
        headers = {key: value.replace("$TOKEN", service.admin) for key, value in headers.items()}
        content = body[0].text.encode() if body else None
        # Health and metrics are shown to tokens of their own right; everything else as the example says.
        answer = service.client.open(url.removeprefix(SERVER), method=method, headers=headers, data=content)
        assert answer.status_code == EXAMPLES[name].status, (name, answer.text)
        if body:
            assert json.loads(content or b"") == EXAMPLES[name].body


def sent(line: str) -> tuple[str, str, dict[str, str]]:
    """Return method, URL and headers of a curl line."""
    words = shlex.split(line.replace("\\\n", " "))
    assert words.pop(0) == "curl"
    method, headers, url = "GET", {}, ""
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "--data":
            assert words.pop(0) == "@body.json"
        else:
            url = word
    return method, url, headers


@pytest.mark.parametrize("line", sorted(each.command for each in EXAMPLES.values() if each.command))
def test_every_command_of_the_page_is_one(line: str):
    program, *words = shlex.split(line)
    assert program == "pinwarden"
    command: click.Command = pinwarden
    context = click.Context(command, info_name="pinwarden")
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
        context = click.Context(command, parent=context)
    # Files of the reader's and settings are not there; what the line says must be understood all the same.
    parser = command.make_parser(context)
    values, rest, _ = parser.parse_args(words)
    assert rest == []
    wanted = [each.name for each in command.params if isinstance(each, click.Argument) and each.required]
    assert [name for name in wanted if values.get(str(name)) is None] == []


def test_the_command_writes_the_page_with_its_style_into_one_file(tmp_path: Path, service: Service):
    file = tmp_path / "api.html"
    done = click.testing.CliRunner().invoke(server, ["openapi", "--html", str(file)])
    assert (done.exit_code, done.stdout) == (0, "")
    page: Any = Reader(file.read_text("utf-8")).root
    assert page.all("link", "script") == []
    assert [each.text for each in page.all("style")] == [service.client.get(STYLE_ADDRESS).text]
    assert page.all("main")[0].text == Reader(service.client.get(PAGE_ADDRESS).text).root.all("main")[0].text
