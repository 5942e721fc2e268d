"""Checks of parameters that the functions of the evaluation share."""

from __future__ import annotations

import numpy as np
import pytest

from sknninterp.evaluation._checks import (
    as_numbers,
    check_choice,
    check_count,
    check_inside,
    check_share,
)


def test_what_is_fine_passes():
    check_choice("mode", "a", ("a", "b"))
    check_count("n", np.int64(2), 2)
    check_share("share", 1)
    check_share("share", np.float32(0.5))
    check_inside("scale", 1e9, 0, np.inf)
    assert as_numbers("values", [[1, True]]).tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: check_choice("mode", "c", ("a", "b")), r"mode='c' is not one of \['a', 'b'\]"),
        (lambda: check_choice("mode", ["a"], ("a", "b")), r"mode=\['a'\] is not one of"),
        (lambda: check_count("n", 1, 2), "n=1 must be an integer of at least 2"),
        (lambda: check_count("n", 2.0, 2), "n=2.0 must be"),
        (lambda: check_count("n", True, 0), "n=True must be"),
        (lambda: check_share("share", 0), "share=0 must be a number above 0 and at most 1"),
        (lambda: check_share("share", 1.1), "share=1.1"),
        (lambda: check_share("share", True), "share=True"),
        (lambda: check_inside("level", 1, 0, 1), "level=1 must be a number between 0 and 1"),
        (lambda: check_inside("level", 0, 0, 1), "level=0 must be"),
        (lambda: check_inside("scale", np.inf, 0, np.inf), "scale=inf must be a number above 0"),
        (lambda: check_inside("scale", np.nan, 0, 1), "scale=nan"),
        (lambda: check_inside("scale", "1", 0, 1), "scale='1'"),
        (lambda: as_numbers("values", "text"), "values must be an array of numbers: could not"),
        (lambda: as_numbers("values", [[1], [2, 3]]), "values must be an array of numbers"),
        (lambda: as_numbers("values", {"a": 1}), "values must be an array of numbers"),
    ],
)
def test_what_is_not_raises(check, message):
    with pytest.raises(ValueError, match=message):
        check()
