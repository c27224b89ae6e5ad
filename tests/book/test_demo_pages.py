"""Every page of the demo's book in a real browser, wide and narrow, light and dark.

The workflow brings the book up to date first: minutes in a fresh clone, seconds afterwards.
"""

import page_checks
import pytest
from finished_pages import broken_links

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", page_checks.VISITS)
def test_every_page_is_whole_and_open_to_all(demo, visit, axe, name):
    assert page_checks.visit_faults(demo, visit, axe, name) == []
    assert len(page_checks.pages(demo)) >= 12


def test_links_inside_the_book_lead_somewhere(demo):
    assert list(broken_links(demo)) == []
