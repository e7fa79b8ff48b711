"""Names that libraries and rebuilt graphs give to one variable find each other; names that say nothing stay alone."""

from __future__ import annotations

import pytest

from tfsaver.checkpoint.names.renames import most_likely


def pair(names: list[str], others: list[str]) -> dict[str, str]:
    return most_likely({name: {other: other for other in others} for name in names}).all


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("rnn/basic_lstm_cell/kernel", "rnn/basic_lstm_cell/weights"),
        ("rnn/cell_0/lstm/bias", "rnn/cell_0/lstm/biases"),
        ("conv1/weights/ExponentialMovingAverage", "conv1/weights"),
        ("model/dense/kernel", "dense/kernel"),
        ("dense/kernel", "generator/model/dense/kernel"),
        ("dense_1/kernel", "dense/kernel"),
        ("fc/w/Adam_2", "fc/w/Adam"),
        ("dense/kernel", "net.dense.weight"),
        ("batch_norm/moving_mean", "batch_norm/running_mean"),
    ],
)
def test_other_name_of_one_variable_is_found(here: str, there: str) -> None:
    others = ["unrelated/gamma", "step", there, "embedding_table"]
    assert pair([here], others) == {here: there}


def test_graph_built_twice_finds_its_layers_in_order() -> None:
    here = [f"dense_{index}/kernel" for index in (2, 3)]
    assert pair(here, ["dense_2/weights", "dense_3/weights"]) == {
        "dense_2/kernel": "dense_2/weights",
        "dense_3/kernel": "dense_3/weights",
    }


def test_scope_in_front_of_thousands_is_seen_at_once() -> None:
    there = {f"block_{index}/kernel": f"block_{index}/kernel" for index in range(3000)}
    assert most_likely({f"tower/{name}": there for name in there}).all == {f"tower/{name}": name for name in there}


def test_no_tensor_is_given_to_two_names() -> None:
    assert pair(["a/dense/kernel", "dense/kernel"], ["dense/weights"]) == {"dense/kernel": "dense/weights"}


def test_equally_likely_candidates_are_left_alone() -> None:
    assert pair(["Variable_10"], ["Variable_11", "Variable_12"]) == {}
    assert pair(["scope/w"], ["a/scope/w", "b/scope/w"]) == {}
    assert pair(["scope/w"], ["a/scope/w", "another/scope/w"]) == {}


def test_names_that_have_nothing_to_do_with_each_other_are_no_pair() -> None:
    assert pair(["decoder/attention/query"], ["gamma", "stem/filter"]) == {}
    assert pair(["x"], []) == {}
    assert pair([], ["x"]) == {}


def test_candidates_are_judged_by_the_name_they_come_with() -> None:
    assert most_likely({"dense/kernel": {"net/k": "dense/kernel_1", "net/b": "other"}}).all == {"dense/kernel": "net/k"}


def test_variable_is_meant_and_not_its_moving_average() -> None:
    there = ["model/hidden/weights", "model/hidden/biases"]
    averages = [f"{name}/ExponentialMovingAverage" for name in there]
    here = ["hidden/kernel", "hidden/bias"]
    expected = dict(zip(here, there, strict=True))
    assert pair(here, [*averages, *there]) == expected
    wanted = [f"{name}/ExponentialMovingAverage" for name in here]
    assert pair([*wanted, *here], [*there, *averages]) == {**dict(zip(wanted, averages, strict=True)), **expected}


def test_average_left_over_is_given_to_no_other_name() -> None:
    there = ["tower/hidden_layer/weights", "tower/hidden_layer/weights/ExponentialMovingAverage"]
    assert pair(["hidden_layer/kernel", "hidden_layer/weights_of_tower_average"], there) == {"hidden_layer/kernel": there[0]}
