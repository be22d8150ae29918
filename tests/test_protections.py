"""The list of protections fits the code and the tests. That each test fails without its protection is tried by hand."""

import pytest

from protections import PROTECTIONS
from workflow_helpers import PROJECT


@pytest.mark.parametrize("one", PROTECTIONS, ids=lambda one: one.what)
def test_a_protection_stands_where_the_list_says_and_has_tests(one):
    text = (PROJECT / one.file).read_text(encoding="utf-8")
    assert text.count(one.text) == 1
    assert one.without != one.text
    assert one.tests
    for test in one.tests:
        file, name = test.split("::")
        assert f"\ndef {name}(" in (PROJECT / "tests" / file).read_text(encoding="utf-8")
