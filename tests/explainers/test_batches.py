"""Choices of outputs and arrays filled batch by batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sknninterp.explainers._batches import Choice, Rows, pick_outputs

VALUES = torch.arange(24.0).view(2, 4, 3)  # two samples, four features, three outputs


def finish(choice, values=VALUES):
    return choice.finish(pick_outputs(values, choice.outputs))


def test_all_outputs():
    choice = Choice.of_positions(slice(None), 1, "cpu")
    assert choice.outputs is None
    np.testing.assert_array_equal(finish(choice), VALUES)


def test_one_output_loses_its_axis():
    np.testing.assert_array_equal(finish(Choice.of_positions(2, 1, "cpu")), VALUES[..., 2])
    np.testing.assert_array_equal(finish(Choice.of_positions(0, -1, "cpu")), -VALUES[..., 0])


def test_some_outputs_each_with_its_sign():
    found = finish(Choice.of_positions([2, 0, 2], [1, -1, -1], "cpu"))
    expected = np.stack([VALUES[..., 2], -VALUES[..., 0], -VALUES[..., 2]], -1)
    np.testing.assert_array_equal(found, expected)


def test_each_samples_own_output():
    predicted = torch.tensor([2, 0])
    found = finish(Choice.of_predicted(predicted, 3, is_signed=True))
    np.testing.assert_array_equal(found, [VALUES[0, :, 2], VALUES[1, :, 0]])


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_single_logit_speaks_for_the_second_class(is_signed):
    predicted, values = torch.tensor([1, 0]), VALUES[..., :1]
    found = finish(Choice.of_predicted(predicted, 1, is_signed), values)
    sign = -1 if is_signed else 1
    np.testing.assert_array_equal(found, [values[0, :, 0], sign * values[1, :, 0]])


def test_base_values_have_no_axis_of_features():
    base_values = torch.tensor([[1.0, 2.0, 3.0]]).expand(2, -1)
    predicted = Choice.of_predicted(torch.tensor([2, 0]), 3, is_signed=True)
    assert finish(predicted, base_values).tolist() == [3, 1]
    assert (
        finish(Choice.of_positions([1, 1], [1, -1], "cpu"), base_values).tolist() == [[2, -2]] * 2
    )
    single = Choice.of_predicted(torch.tensor([1, 0]), 1, is_signed=True)
    assert finish(single, base_values[:, :1]).tolist() == [1, -1]


def test_values_keep_their_type():
    choice = Choice.of_positions([0], [-1], "cpu")
    assert finish(choice, VALUES).dtype == np.float32
    assert finish(choice, VALUES.double()).dtype == np.float64


def test_rows_are_filled_in_order_and_keep_their_layout():
    whole = np.moveaxis(np.arange(60.0, dtype=np.float32).reshape(3, 5, 4), 0, -1)
    rows = Rows(5)
    for start in (0, 2, 4):
        rows.add(whole[start : start + 2])
    np.testing.assert_array_equal(rows.array, whole)
    assert rows.array.dtype == np.float32
    assert np.argsort(rows.array.strides).tolist() == np.argsort(whole.strides).tolist()
    at_once = Rows(5)
    at_once.add(whole)
    assert at_once.array is whole
    nothing = Rows(5)
    nothing.add(None)
    assert nothing.array is None
