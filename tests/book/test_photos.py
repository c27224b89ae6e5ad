"""Every page of the book of a cut-down run of the photos profile, in a real browser."""

import page_checks
import pytest
from finished_pages import broken_links

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["wide-dark", "phone-light"])
def test_every_page_is_whole_and_open_to_all(photos, visit, axe, name):
    assert page_checks.visit_faults(photos, visit, axe, name) == []
    assert len(page_checks.pages(photos)) >= 12


def test_every_menu_changes_what_is_drawn(photos, visit):
    assert page_checks.unmoved_menus(photos, visit) == []


def test_links_inside_the_book_lead_somewhere(photos):
    assert list(broken_links(photos)) == []


def test_the_first_page_tells_of_photographs(photos, visit):
    page = visit(photos, "book/introduction.html").page
    told = page.locator(".this-run").inner_text()
    assert "the run photos" in told and "cifar10" in told and "generated pictures" not in told
    assert page.locator("table.verdicts tbody tr").count() >= 3
    page = visit(photos, "book/data_and_models.html").page
    assert page.locator("ul.examples img").count() == 6
