"""The search page in a real browser, against a real server with a tiny real model."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from rerank_search import Document, Index, RerankError

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("needs chromium: apt-get install chromium", allow_module_level=True)
playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install playwright"
)
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright",
    reason="needs axe-core: pip install axe-playwright-python",
)

pytestmark = pytest.mark.browser

SECONDS = 300
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
HOSTILE = '<img src=x onerror="document.body.dataset.ran=1"><script>document.body.dataset.ran=1'
QUERY = "how to join the paths of a file"
DOCUMENTS = [
    Document("join", "join the paths of files with a path", "os path join", {"kind": "path"}),
    Document("split", "split the path into a folder and a file", "os path split", {"kind": "path"}),
    Document("read", "read the lines of a text file", "read lines", {"kind": "file"}),
    Document("write", "write the lines to a file and close the file", "", {"kind": "file"}),
    Document("bread", "the bread is in the oven of the kitchen", "bread", {"kind": "food"}),
    Document("boat", "a boat on the river to the sea", "", {"kind": "water"}),
    Document("hostile", f"violin {HOSTILE}", f"violin {HOSTILE}", {"kind": HOSTILE}),
    # Characters that JavaScript counts as two, before the passage to find.
    Document("long", "🎻 a song of the snow. " * 40 + "The queen has a new bicycle.", "song"),
]


SCRIPTS = [
    Document("zh", "🎻" * 200 + "北京大学和清华大学的大楼。" + "很长的故事。" * 90, "大学"),
    Document("th", "ฉันพูดภาษาไทยได้ก็", "ไทย"),
    Document("ar", "اشتريت كِتَابًا جديدا", "كتاب Python"),
    Document("nfd", "un re\u0301sume\u0301 de la journe\u0301e", ""),
]
"""Documents of the index ``scripts``, whose analyzer is multilingual."""


class Visitor:
    """A page of the browser, which records everything that should not happen."""

    def __init__(self, page, url: str) -> None:
        self.page, self.url = page, url
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.listeners = {
            "request": lambda request: self.requests.append(request.url),
            "pageerror": lambda error: self.complaints.append(str(error)),
            "console": lambda message: self.complaints.append(message.text),
        }
        for event, listener in self.listeners.items():
            page.on(event, listener)

    def leave(self) -> None:
        """Leave the page as it was before the visit."""
        self.page.unroute_all()
        self.page.evaluate("localStorage.clear(); sessionStorage.clear()")
        for event, listener in self.listeners.items():
            self.page.remove_listener(event, listener)
        self.page.emulate_media(color_scheme="light")
        self.page.goto("about:blank")

    def open(self, query: str = "") -> None:
        """Open a search, or the empty page."""
        self.page.goto(self.url + query)
        self.settle()

    def search(self, query: str) -> None:
        """Type a query, and wait for its answer."""
        self.page.get_by_label("Query").fill(query)
        self.page.keyboard.press("Enter")
        self.settle()

    def go(self, steps: int) -> None:
        """Go through the history, and wait until the page has answered."""
        self.page.evaluate(
            """steps => new Promise((done) => {
                addEventListener("popstate", () => done(), { once: true });
                history.go(steps);
            })""",
            steps,
        )
        self.settle()

    def settle(self) -> None:
        """Wait for the answer."""
        self.page.locator("#results:not([aria-busy])").wait_for(state="attached")

    def titles(self) -> list[str]:
        """The titles of the documents in the second list, or in the only one."""
        return self.page.locator(".after .title").all_inner_texts()

    def problem(self) -> str:
        """The message of the alert, when there is one."""
        alert = self.page.get_by_role("alert").filter(has_text=re.compile("."))
        return alert.inner_text()

    def focused(self) -> str:
        """The title of the result with the focus, or the id of another element with it."""
        return self.page.evaluate(
            "document.activeElement.querySelector(':scope > .head .title')?.innerText"
            " ?? document.activeElement.id"
        )


@pytest.fixture(scope="module")
def server(
    tiny_encoder: Path, tiny_reranker: Path, tmp_path_factory: pytest.TempPathFactory, serving
) -> Iterator[str]:
    """The URL of a server with three indexes, two of them without vectors."""
    folder = tmp_path_factory.mktemp("served")
    for name, encoder in (("notes", str(tiny_encoder)), ("plain", None)):
        with Index.create(folder / "indexes" / name, encoder=encoder) as index:
            index.add(DOCUMENTS)
    scripts = folder / "indexes" / "scripts"
    with Index.create(scripts, encoder=None, analyzer="multilingual") as index:
        index.add(SCRIPTS)
    with serving(folder / "indexes", "--reranker", str(tiny_reranker)) as started:
        yield started.url


@pytest.fixture(scope="module")
def browser() -> Iterator:
    # For this module only: while it runs, other tests cannot run an event loop.
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(browser) -> Iterator:
    """Makes pages of the browser, each with a storage of its own."""
    contexts = []

    def another():
        contexts.append(browser.new_context(viewport=WIDE))
        contexts[-1].set_default_timeout(SECONDS * 1000)
        return contexts[-1].new_page()

    yield another
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def reused(opened):
    """The first page of each test, because another page takes a second."""
    return opened()


@pytest.fixture
def visit(opened, reused, server: str) -> Iterator:
    """Makes visitors; at the end none of them may have recorded a fault."""
    visitors = []

    def arrive(viewport=WIDE, at=server) -> Visitor:
        page = opened() if visitors else reused
        page.set_viewport_size(viewport)
        visitors.append(Visitor(page, f"{at}/"))
        return visitors[-1]

    yield arrive
    for each in visitors:
        each.leave()
    assert [each.complaints for each in visitors] == [[] for _ in visitors]
    for each in visitors:
        assert all(url.startswith((each.url, "data:")) for url in each.requests)


@pytest.fixture
def visitor(visit) -> Visitor:
    """One visitor at the empty page."""
    visitor = visit()
    visitor.open()
    return visitor


def test_a_query_shows_both_lists_and_what_moved(visitor):
    visitor.search(QUERY)
    page = visitor.page
    assert set(visitor.titles()) >= {"os path join", "os path split", "read lines"}
    assert page.locator(".before li").count() == page.locator(".after li").count()
    assert page.locator(".lines path").count() == page.locator(".after li").count()
    assert page.get_by_role("status").inner_text().endswith("that were reranked")


def test_movement_is_said_as_the_ranks_have_it(visitor):
    visitor.search(QUERY)
    before = visitor.page.locator(".before li").evaluate_all("all => all.map(e => e.dataset.id)")
    after = visitor.page.locator(".after li").evaluate_all("all => all.map(e => e.dataset.id)")
    said = visitor.page.locator(".after .moved").all_inner_texts()
    assert before != after
    for place, (document, text) in enumerate(zip(after, said, strict=True)):
        moved = before.index(document) - place
        expected = f"up {moved}" if moved > 0 else f"down {-moved}" if moved else "same place"
        assert expected in text


def test_scores_of_every_stage_and_times_are_shown(visitor):
    visitor.search(QUERY)
    join = visitor.page.locator(".after li[data-id=join]")
    assert join.locator(".scores dt").all_inner_texts() == ["bm25", "dense", "hybrid", "rerank"]
    facts = visitor.page.locator(".summary dt").all_inner_texts()
    assert facts[:3] == ["candidates", "reranked", "truncated"]
    assert {"first stage", "rerank", "total"} <= set(facts)


def test_words_of_the_query_are_marked_with_other_endings_too(visitor):
    visitor.search("the path of a file")
    join = visitor.page.locator(".after li[data-id=join] .excerpt mark")
    assert join.all_inner_texts() == ["paths", "files", "path"]


@pytest.mark.parametrize(
    ("query", "id", "marks"),
    [
        ("大学", "zh", ["大学", "大学", "大学"]),
        ("ภาษาไทย", "th", ["ไทย", "ภาษาไทย"]),
        ("كتاب", "ar", ["كتاب"]),
        ("resume", "nfd", ["re\u0301sume\u0301"]),
    ],
)
def test_words_are_marked_in_any_script(visitor, query, id, marks):
    visitor.page.get_by_label("Index", exact=True).select_option("scripts")
    visitor.search(query)
    hit = visitor.page.locator(f".after li[data-id={id}]")
    shown = hit.locator(".title mark, .excerpt mark").all_inner_texts()
    assert shown == marks
    assert len(hit.locator(".excerpt").inner_text()) <= 270


def test_text_from_right_to_left_is_shown_so(visitor):
    visitor.page.get_by_label("Index", exact=True).select_option("scripts")
    visitor.search("كتاب")
    for part in (".title", ".excerpt", ".whole"):
        element = visitor.page.locator(f".after li[data-id=ar] {part}")
        assert element.evaluate("element => getComputedStyle(element).direction") == "rtl"
    assert (
        visitor.page.get_by_label("Query").evaluate("e => getComputedStyle(e).direction") == "rtl"
    )


def test_the_best_passage_is_shown_also_after_wide_characters(visitor):
    visitor.search("bicycle of the queen")
    excerpt = visitor.page.locator(".after li[data-id=long] .excerpt")
    assert "The queen has a new bicycle." in excerpt.inner_text()


def test_the_url_of_a_search_shows_the_same_search(visitor, visit):
    visitor.page.get_by_label("Shown").fill("3")
    visitor.page.get_by_label("Filter").fill("kind!=food")
    visitor.search(QUERY)
    asked = parse_qs(urlsplit(visitor.page.url).query)
    assert asked == {"q": [QUERY], "index": ["notes"], "top_k": ["3"], "filter": ["kind!=food"]}
    other = visit()
    other.page.goto(visitor.page.url)
    other.settle()
    assert len(other.titles()) == 3
    assert other.titles() == visitor.titles()
    assert other.page.get_by_label("Filter").input_value() == "kind!=food"


def test_back_and_forward_restore_searches(visitor):
    visitor.search(QUERY)
    first = visitor.titles()
    visitor.page.get_by_role("switch", name="Rerank").uncheck()
    visitor.search("bread")
    second = visitor.titles()
    visitor.go(-1)
    assert visitor.page.get_by_label("Query").input_value() == QUERY
    assert visitor.page.get_by_role("switch", name="Rerank").is_checked()
    assert visitor.titles() == first
    visitor.go(-1)
    assert visitor.titles() == []
    visitor.go(1)
    visitor.go(1)
    assert visitor.titles() == second


def test_without_reranking_there_is_one_list(visitor):
    visitor.page.get_by_role("switch", name="Rerank").uncheck()
    visitor.search(QUERY)
    assert visitor.page.get_by_role("heading", level=2).all_inner_texts() == ["First stage hybrid"]
    assert visitor.page.locator(".moved").count() == 0


def test_an_index_has_its_own_first_stages(visitor):
    stages = visitor.page.get_by_label("First stage").locator("option")
    assert stages.all_inner_texts() == ["best available", "bm25", "dense", "hybrid"]
    visitor.page.get_by_label("Index", exact=True).select_option("plain")
    assert stages.all_inner_texts() == ["best available", "bm25"]
    visitor.search(QUERY)
    assert visitor.page.locator(".before h2").inner_text() == "First stage bm25"


def test_html_in_a_document_is_text(visitor):
    visitor.search("violin")
    hostile = visitor.page.locator(".after li[data-id=hostile]")
    hostile.get_by_text("Whole document").click()
    assert HOSTILE in hostile.locator(".title").inner_text()
    assert "violin <img src=x onerror=" in hostile.locator(".excerpt").inner_text()
    assert HOSTILE in hostile.locator(".whole").inner_text()
    assert visitor.page.locator("main img, main script").count() == 0
    assert visitor.page.evaluate("document.body.dataset.ran") is None


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('{"kind": {"$in": ["food", "water"]}}', {"bread", "boat"}),
        ("kind=food", {"bread"}),
        ('kind!="food", kind!=path, kind!=file, kind!=water', {"hostile", "long"}),
    ],
)
def test_filters_are_json_or_conditions(visitor, text, ids):
    visitor.page.get_by_label("Filter").fill(text)
    visitor.search("the bread")
    shown = visitor.page.locator(".after li").evaluate_all("all => all.map(e => e.dataset.id)")
    assert set(shown) == ids


@pytest.mark.parametrize(
    ("text", "message"), [("module", "write key=value"), ('{"a": 1', "is not JSON")]
)
def test_a_filter_that_cannot_be_read_is_an_error(visitor, text, message):
    visitor.page.get_by_label("Filter").fill(text)
    visitor.search(QUERY)
    assert message in visitor.problem()
    assert visitor.titles() == []


def test_an_error_of_the_server_is_shown_and_gone_with_the_next_search(visitor):
    visitor.page.get_by_label("Filter").fill('{"kind": {"$foo": 1}}')
    visitor.search(QUERY)
    assert "'$foo' of 'kind' is not a filter operator" in visitor.problem()
    visitor.page.get_by_label("Filter").fill("")
    visitor.search(QUERY)
    assert visitor.page.get_by_role("alert").inner_text() == ""
    assert visitor.titles()
    # The browser itself logs every answer that is an error to the console.
    visitor.complaints[:] = [each for each in visitor.complaints if "status of 400" not in each]


class Broken:
    name = "broken"

    def score(self, pairs):
        raise RerankError("it has burnt down")


def test_an_answer_that_could_not_be_reranked_says_so(visit, serve):
    with serve(Broken()) as other:
        visitor = visit(at=other.url)
        visitor.open("?q=join+two+paths")
        assert "Not reranked: RerankError: it has burnt down" in visitor.page.inner_text(".note")
        assert visitor.titles()
        assert visitor.page.locator(".before").count() == 0
        assert "from the first stage" in visitor.page.get_by_role("status").inner_text()


class Calibrated:
    """A calibrated reranker that scores by length."""

    name = "calibrated"

    def __init__(self, calibration):
        self.calibration = calibration

    def score(self, pairs):
        return np.array([len(text) / 100 for _, text in pairs], dtype=np.float32)


def test_relevance_is_shown_where_there_is_one(visit, serve, make_calibration):
    with serve(Calibrated(make_calibration())) as other:
        visitor = visit(at=other.url)
        visitor.open("?q=join+two+paths&top_k=1")
        [hit] = other.post("/v1/search", {"query": "join two paths", "top_k": 1}).json()["results"][
            0
        ]["hits"]
        shown = visitor.page.locator(".after .scores").inner_text().split()
        assert f"{hit['relevance']:.3g}" == shown[shown.index("relevance") + 1]


def test_an_older_answer_never_replaces_a_newer_one(visitor):
    held = []

    def handle(route):
        if "the old query" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    visitor.page.route("**/v1/search", handle)
    with visitor.page.expect_request("**/v1/search"):
        visitor.page.get_by_label("Query").fill("the old query")
        visitor.page.keyboard.press("Enter")
    visitor.search("bread")
    titles = visitor.titles()
    held[0].fulfill(json={"index": "notes", "results": [], "model": None})
    visitor.page.wait_for_timeout(200)
    assert visitor.titles() == titles
    assert visitor.page.get_by_role("alert").inner_text() == ""


def test_a_key_is_asked_for_where_one_is_needed_and_stays_out_of_the_url(visit, server):
    visitor = visit()

    def guard(route):
        if route.request.headers.get("authorization") == "Bearer rs_secret":
            route.continue_()
        else:
            error = {"error": {"type": "unauthorized", "message": "a key is needed"}}
            route.fulfill(status=401, json=error)

    visitor.page.route("**/v1/**", guard)
    visitor.open()
    assert visitor.problem() == "a key is needed"
    assert visitor.focused() == "key"
    visitor.page.get_by_label("API key").fill("rs_secret")
    visitor.search(QUERY)
    assert visitor.titles()
    assert "rs_secret" not in visitor.page.url
    visitor.complaints[:] = [each for each in visitor.complaints if "status of 401" not in each]


def test_the_keyboard_goes_through_the_results(visitor):
    visitor.search(QUERY)
    titles, press = visitor.titles(), visitor.page.keyboard.press
    assert visitor.focused() == "q"
    press("ArrowDown")
    assert visitor.focused() == titles[0]
    press("ArrowDown")
    press("j")
    assert visitor.focused() == titles[2]
    press("k")
    press("ArrowUp")
    assert visitor.focused() == titles[0]
    press("Enter")
    assert visitor.page.locator(".after li").first.locator(".whole").is_visible()
    press("/")
    assert visitor.focused() == "q"
    press("ArrowDown")
    press("Escape")
    assert visitor.focused() == "q"
    press("Escape")
    assert visitor.focused() == ""
    assert visitor.page.get_by_label("Query").input_value() == QUERY


def test_keys_of_one_letter_can_be_switched_off(visitor):
    press, switch = visitor.page.keyboard.press, visitor.page.get_by_label("Keys / j k")
    switch.uncheck()
    visitor.search(QUERY)
    press("ArrowDown")
    first = visitor.focused()
    for key in ("j", "/"):
        press(key)
        assert visitor.focused() == first
    press("ArrowDown")
    assert visitor.focused() == visitor.titles()[1]
    visitor.open()  # it is remembered
    assert not switch.is_checked()
    switch.check()
    visitor.page.keyboard.press("Tab")
    press("/")
    assert visitor.focused() == "q"


def test_a_slash_in_a_field_is_a_slash(visitor):
    visitor.page.get_by_label("Filter").fill("kind=a")
    visitor.page.get_by_label("Filter").press("End")
    visitor.page.keyboard.press("/")
    assert visitor.page.get_by_label("Filter").input_value() == "kind=a/"


def test_focus_is_visible(visitor):
    visitor.search(QUERY)
    visitor.page.keyboard.press("ArrowDown")
    outline = visitor.page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "2px"


@pytest.mark.parametrize("query", ["", "?q=violin"])
def test_a_narrow_page_does_not_scroll_sideways(visit, query):
    visitor = visit(NARROW)
    visitor.open(query)
    width = visitor.page.evaluate("document.documentElement.scrollWidth")
    assert width == NARROW["width"]
    assert visitor.page.locator(".lines path").count() == 0


def test_movement_is_words_on_a_narrow_page(visit):
    visitor = visit(NARROW)
    visitor.open("?q=join+the+paths")
    assert visitor.page.locator(".after .moved").first.is_visible()


@pytest.mark.parametrize(
    "query", ["", "?q=join+the+paths", "?q=violin&rerank=false", "?q=a&filter=wrong"]
)
def test_axe_finds_nothing(visit, query):
    visitor = visit()
    visitor.open(query)
    for summary in visitor.page.get_by_text("Whole document").all()[:1]:
        summary.click()
    # The colours are all that another scheme changes.
    schemes = {"dark": axe.DEFAULT_OPTIONS, "light": {"runOnly": ["color-contrast"]}}
    for viewport in (WIDE, NARROW):
        visitor.page.set_viewport_size(viewport)
        for color_scheme, options in schemes.items():
            visitor.page.emulate_media(color_scheme=color_scheme)
            found = axe.Axe().run(visitor.page, options=options).response
            assert json.dumps(found["violations"], indent=1) == "[]", (viewport, color_scheme)
