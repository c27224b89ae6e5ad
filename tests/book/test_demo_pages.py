"""Every page of the demo's book in a real browser, wide and narrow, light and dark.

The workflow brings the book up to date first: minutes in a fresh clone, seconds afterwards.
"""

from functools import partial

import page_checks
import pytest
from finished_pages import broken_links
from page_checks import HAND, PHONE, WIDE, book_faults

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "check, scheme, context, look",
    [
        (page_checks.wide_faults, "http", {"viewport": WIDE}, "light"),
        (page_checks.whole, "file", {"viewport": WIDE}, "dark"),
        (page_checks.whole, "file", {"viewport": PHONE}, "light"),
        (page_checks.phone_faults, "http", HAND, "dark"),
    ],
    ids=["wide-light", "wide-dark", "phone-light", "phone-dark"],
)
def test_every_page_is_whole_and_open_to_all(demo, visit, axe, check, scheme, context, look):
    check = partial(check, axe=axe)
    faults = book_faults(demo, visit, check, scheme, color_scheme=look, **context)
    assert not faults, "\n".join(faults)
    assert len(page_checks.pages(demo)) >= 12


def test_every_menu_changes_what_is_drawn(demo, visit):
    faults = book_faults(demo, visit, page_checks.menu_faults, figures_only=True, viewport=WIDE)
    assert not faults, "\n".join(faults)


def test_links_inside_the_book_lead_somewhere(demo):
    assert list(broken_links(demo)) == []
