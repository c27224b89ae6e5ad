"""Every page of the demo's book in a real browser, wide and narrow, light and dark.

The workflow brings the book up to date first: minutes in a fresh clone, seconds afterwards.
"""

from functools import partial

import page_checks
import pytest
from finished_pages import broken_links
from page_checks import PHONE, WIDE, book_faults

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "scheme, size, look",
    [
        ("http", WIDE, "light"),
        ("file", WIDE, "dark"),
        ("file", PHONE, "light"),
        ("http", PHONE, "dark"),
    ],
    ids=["wide-light", "wide-dark", "phone-light", "phone-dark"],
)
def test_every_page_is_whole_light_and_open_to_all(demo, visit, axe, scheme, size, look):
    check = partial(page_checks.whole, axe=axe)
    faults = book_faults(demo, visit, check, scheme, viewport=size, color_scheme=look)
    assert not faults, "\n".join(faults)
    assert len(page_checks.pages(demo)) >= 12


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
def test_every_figure(demo, visit, check, context):
    faults = book_faults(demo, visit, check, figures_only=True, **context)
    assert not faults, "\n".join(faults)


def test_links_inside_the_book_lead_somewhere(demo):
    assert list(broken_links(demo)) == []
