"""Every page of the book of a cut-down run of the photos profile, in a real browser."""

from functools import partial

import page_checks
import pytest
from finished_pages import broken_links
from page_checks import HAND, WIDE, book_faults

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "check, scheme, context, look",
    [
        (page_checks.wide_faults, "http", {"viewport": WIDE}, "dark"),
        (page_checks.phone_faults, "file", HAND, "light"),
    ],
    ids=["wide", "phone"],
)
def test_every_page_is_whole_and_open_to_all(photos, visit, axe, check, scheme, context, look):
    check = partial(check, axe=axe)
    faults = book_faults(photos, visit, check, scheme, color_scheme=look, **context)
    assert not faults, "\n".join(faults)
    assert len(page_checks.pages(photos)) >= 12


def test_every_menu_changes_what_is_drawn(photos, visit):
    faults = book_faults(photos, visit, page_checks.menu_faults, figures_only=True, viewport=WIDE)
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
