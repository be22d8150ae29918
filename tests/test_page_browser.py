"""The demo's page in a real browser: Chromium without a window.

Skipped until `make demo` has run, and where no Chromium is found: LIQUIDBENCH_CHROMIUM, or one on the PATH. Prints the
page's weight, load time and what axe-core finds, and leaves screenshots in `test-results/page/`.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "demo/reports/index.html"
SHOTS = PROJECT / "test-results/page"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = os.environ.get("LIQUIDBENCH_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), "")
OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}

pytestmark = [
    pytest.mark.skipif(not PAGE.is_file(), reason="run `make demo` first"),
    pytest.mark.skipif(
        not BROWSER, reason="no Chromium: install it, or name it by LIQUIDBENCH_CHROMIUM"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Without its own sandbox, which containers and root do not allow: it reads one file of our own.
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, request) -> Iterator[Page]:
    """The page at a size and in a colour scheme; what it complains of, or asks of a network, fails the test."""
    size, scheme = getattr(request, "param", (DESK, "light"))
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page = context.new_page()
    complaints, asked = [], []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: asked.append(one.url))
    page.goto(PAGE.as_uri())
    yield page
    assert complaints == []
    assert [url for url in asked if not url.startswith("data:")] == [PAGE.as_uri()]
    context.close()


def screenshot(page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def test_weight_and_load_time(opened, capsys):
    # An interval's end minus its start, as the browser took them.
    milliseconds = opened.evaluate(
        "(() => { const t = performance.getEntriesByType('navigation')[0]; return t.loadEventEnd - t.startTime; })()"
    )
    weight = PAGE.stat().st_size
    with capsys.disabled():
        print(f"\npage: {weight / 1e6:.2f} MB, loaded in {milliseconds:.0f} ms")
    assert 0 < weight < 10e6 and milliseconds > 0


@pytest.mark.parametrize(
    "opened",
    [(size, scheme) for size in (PHONE, DESK) for scheme in ("light", "dark")],
    indirect=True,
    ids=["phone, light", "phone, dark", "desk, light", "desk, dark"],
)
def test_sizes_and_colours(opened, request):
    """No horizontal scroll with everything opened, and screenshots."""
    name = request.node.callspec.id.replace(", ", "-")
    screenshot(opened, name)
    opened.evaluate(OPEN_ALL)
    wide, window = opened.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window
    opened.locator("#figures").scroll_into_view_if_needed()
    screenshot(opened, f"{name}-figures")


# Each size and each scheme once: looking through all of the page takes a while.
@pytest.mark.parametrize(
    "opened", [(PHONE, "light"), (DESK, "dark")], indirect=True, ids=["phone, light", "desk, dark"]
)
def test_nothing_serious_for_axe_core(opened, capsys, request):
    opened.evaluate(OPEN_ALL)
    found = Axe().run(opened).response["violations"]
    told = [f"{one['impact']}: {one['id']} ({len(one['nodes'])})" for one in found]
    with capsys.disabled():
        print(f"\naxe-core, {request.node.callspec.id}: {', '.join(told) or 'nothing found'}")
    worst = [one for one in found if one["impact"] in ("serious", "critical")]
    assert worst == [], json.dumps(worst, indent=1)[:4000]


def test_axe_sees_what_is_wrong(opened):
    """The check above can fail: text without contrast and a picture without alternative are found."""
    opened.evaluate("document.querySelectorAll('main > section').forEach((one) => one.remove())")
    opened.evaluate(
        "document.body.innerHTML += '<img><p style=\"color:#eee;background:#fff\">Hardly to be read</p>'"
    )
    found = {one["id"] for one in Axe().run(opened).response["violations"]}
    assert {"image-alt", "color-contrast"} <= found


def column(page, table: str, place: int) -> list[str]:
    """What a column of a table is sorted by, in the order of its rows."""
    return page.eval_on_selector_all(
        f"{table} tbody tr",
        f"(rows) => rows.map((row) => row.cells[{place}].dataset.sort ?? row.cells[{place}].innerText)",
    )


@contextmanager
def sorted_afterwards(page) -> Iterator[None]:
    """Wait until what is done in the block has sorted a table: the script does so a moment later."""
    page.evaluate(
        "() => { window.sorted = new Promise((done) => "
        "document.addEventListener('sort-end', done, { once: true })).then(() => null); }"
    )
    yield
    page.evaluate("window.sorted")


def test_every_table_sorts_by_click_and_by_key(opened):
    tables = opened.locator("table.sortable")
    assert tables.count() > 10
    sorted_ones = 0
    for number in range(tables.count()):
        table = tables.nth(number)
        table.evaluate(f"(one) => {{ one.id = 'sorted-{number}'; }}")
        name = f"#sorted-{number}"
        headings = table.locator("thead th")
        for place in range(headings.count()):
            before = column(opened, name, place)
            if len(set(before)) < 2:
                continue
            button = headings.nth(place).locator("button")
            with sorted_afterwards(opened):
                button.click()
            once, direction = (
                column(opened, name, place),
                headings.nth(place).get_attribute("aria-sort"),
            )
            button.focus()
            with sorted_afterwards(opened):
                opened.keyboard.press("Enter")
            twice, other = (
                column(opened, name, place),
                headings.nth(place).get_attribute("aria-sort"),
            )
            assert sorted(once) == sorted(twice) == sorted(before)
            assert {direction, other} == {"ascending", "descending"}
            upward = once if direction == "ascending" else twice
            numbers = [float(text) for text in upward if text and is_number(text)]
            if len(numbers) == len([text for text in upward if text]):
                assert numbers == sorted(numbers), (number, place)
                # What there is not comes last, whichever way.
                assert "" not in once[: len(numbers)] and "" not in twice[: len(numbers)]
            sorted_ones += 1
            break
    assert sorted_ones > 8


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_a_column_of_figures_sorts_as_numbers(opened):
    """Of the table of costs, whose numbers have commas and are of many lengths."""
    place = opened.eval_on_selector_all(
        "#table-costs ~ .scroll >> nth=0 >> thead th",
        "(all) => all.findIndex((one) => one.innerText.startsWith('Core param'))",
    )
    table = opened.locator("#table-costs ~ .scroll >> nth=0 >> table")
    table.evaluate("(one) => { one.id = 'costs-of-all'; }")
    shown = lambda: [  # noqa: E731 - read thrice
        int(text.split("\n")[0].replace(",", ""))
        for text in opened.eval_on_selector_all(
            "#costs-of-all tbody tr", f"(rows) => rows.map((row) => row.cells[{place}].innerText)"
        )
    ]
    before = shown()
    button = table.locator("thead th").nth(place).locator("button")
    with sorted_afterwards(opened):
        button.click()
    first = shown()
    with sorted_afterwards(opened):
        button.click()
    second = shown()
    assert sorted([first, second]) == [sorted(before), sorted(before, reverse=True)]


def test_links_within_the_page_and_to_files_lead_somewhere(opened):
    addresses = opened.eval_on_selector_all(
        "a[href]", "(all) => all.map((one) => one.getAttribute('href'))"
    )
    assert len(addresses) > 100
    identifiers = set(opened.eval_on_selector_all("[id]", "(all) => all.map((one) => one.id)"))
    lost = [
        address
        for address in addresses
        if not (
            address[1:] in identifiers
            if address.startswith("#")
            else (PAGE.parent / address).is_file()
        )
    ]
    assert lost == []


def test_the_keyboard_reaches_the_content_the_tables_and_the_claims(opened):
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.className") == "skip"
    opened.keyboard.press("Enter")
    claim = opened.locator("details.claim summary").first
    claim.focus()
    opened.keyboard.press("Enter")
    assert opened.locator("details.claim").first.evaluate("(one) => one.open")
    # All that scrolls, and nothing else: the rest would be stops without use.
    for size in (DESK, PHONE):
        opened.set_viewport_size(size)
        opened.evaluate("new Promise((done) => requestAnimationFrame(done)).then(() => null)")
        scrolls, stops = opened.evaluate(
            """() => {
                const all = [...document.querySelectorAll('.scroll, .drawing')];
                const wide = (one) => one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight;
                return [all.map(wide), all.map((one) => one.tabIndex === 0)];
            }"""
        )
        assert scrolls == stops and any(scrolls) and not (size == DESK and all(scrolls))


def test_a_link_to_a_claim_opens_it(opened):
    link = opened.locator("#claims td a").first
    target = link.get_attribute("href")
    link.click()
    assert opened.locator(target).evaluate("(one) => one.open")


def test_every_picture_has_a_text_of_its_own(opened):
    texts = opened.eval_on_selector_all("img", "(all) => all.map((one) => one.alt)")
    texts += opened.eval_on_selector_all(
        "svg", "(all) => all.map((one) => one.getAttribute('aria-label'))"
    )
    assert len(texts) > 20 and all(texts) and len(set(texts)) == len(texts)
    broken = opened.evaluate(
        """async () => {
            const all = [...document.images];
            all.forEach((one) => { one.loading = 'eager'; });
            await Promise.all(all.map((one) => one.decode().catch(() => {})));
            return all.filter((one) => one.naturalWidth === 0).length;
        }"""
    )
    assert broken == 0


def test_a_recording_plays_and_stops(opened):
    figure = opened.locator("figure.moving").first
    figure.locator("button").click()
    assert "playing" in figure.get_attribute("class")
    assert figure.locator("button").get_attribute("aria-label").startswith("Stop: ")
    assert figure.evaluate("(one) => one.getAnimations({ subtree: true }).length") > 0
    # To its end at once, rather than to wait for it.
    figure.evaluate(
        "(one) => one.getAnimations({ subtree: true }).forEach((moving) => moving.finish())"
    )
    opened.wait_for_function(
        "!document.querySelector('figure.moving').classList.contains('playing')"
    )
    assert figure.locator("button").inner_text() == "Play"
    assert figure.locator("button").get_attribute("aria-label").startswith("Play: ")


def test_no_script_but_the_pages_own_runs(opened, browser):
    """A text that were not escaped would still do nothing."""
    text = PAGE.read_text(encoding="utf-8")
    hostile = "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 2'>"
    context = browser.new_context()
    page = context.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.set_content(text.replace("</main>", f"{hostile}</main>"))
    assert page.evaluate("window.hurt") is None
    assert any("Content Security Policy" in one for one in complaints)
    # The page's own scripts did run.
    page.locator("figure.moving button").first.click()
    assert page.locator("figure.playing").count() == 1
    context.close()


def test_what_must_not_be_overlooked_is_seen_first(opened):
    banner = opened.locator(".caution").first
    assert "Synthetic data" in banner.inner_text()
    assert banner.bounding_box()["y"] < DESK["height"] / 2
    order = opened.eval_on_selector_all("main > section", "(all) => all.map((one) => one.id)")
    assert order == [
        "claims",
        "gaps",
        "claim-by-claim",
        "what-was-run",
        "tables",
        "figures",
        "examples",
        "runs",
    ]
