"""Every page of the book of a cut-down run of the photos profile, in a real browser."""

from functools import partial

import page_checks
import pytest
from finished_pages import broken_links
from page_checks import PHONE, WIDE, book_faults

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "scheme, size, look", [("http", WIDE, "dark"), ("file", PHONE, "light")], ids=["wide", "phone"]
)
def test_every_page_is_whole_light_and_open_to_all(photos, visit, axe, scheme, size, look):
    check = partial(page_checks.whole, axe=axe)
    faults = book_faults(photos, visit, check, scheme, viewport=size, color_scheme=look)
    assert not faults, "\n".join(faults)
    assert len(page_checks.pages(photos)) >= 12


@pytest.mark.parametrize(
    "check, context",
    [
        (page_checks.menu_faults, {"viewport": WIDE}),
        (page_checks.value_faults, {"viewport": WIDE}),
        (page_checks.print_faults, {"viewport": WIDE}),
        (page_checks.swipe_faults, page_checks.HAND),
    ],
    ids=["menus change it", "hover and table agree", "prints", "a swipe scrolls"],
)
def test_every_figure(photos, visit, check, context):
    faults = book_faults(photos, visit, check, figures_only=True, **context)
    assert not faults, "\n".join(faults)


def test_links_inside_the_book_lead_somewhere(photos):
    assert list(broken_links(photos)) == []


def test_the_first_page_tells_of_photographs(photos, visit):
    page = visit(photos, "book/introduction.html").page
    told = page.locator(".this-run").inner_text()
    assert "the run photos" in told and "cifar10" in told and "generated pictures" not in told
    assert page.locator("table.verdicts tbody tr").count() >= 3
    page = visit(photos, "book/data_and_models.html").page
    assert page.locator("ul.examples img").count() == 6
