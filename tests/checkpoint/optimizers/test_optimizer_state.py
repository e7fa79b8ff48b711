"""An optimizer's state is told from the names, whoever wrote them."""

from __future__ import annotations

import numpy as np
import pytest

from tfsaver.checkpoint.optimizers.optimizer_state import find_optimizer_state, steps_from_powers


def test_slots_are_spelled_by_what_they_are_for() -> None:
    names = ["w", "w/Adam", "w/Adam_1", "b", "b/adam_m", "b/adam_v", "c", "c/Momentum", "d", "d/RMSProp", "d/RMSProp_1"]
    names += ["e", "e/RMSProp", "e/RMSProp_1", "e/RMSProp_2"]
    shapes = {**dict.fromkeys(names, (2,)), "beta1_power": (), "beta2_power": ()}
    state = find_optimizer_state(shapes)
    assert state.slots == {
        "w": {"Adam:0": ["w/Adam"], "Adam:1": ["w/Adam_1"]},
        "b": {"adam_m": ["b/adam_m"], "adam_v": ["b/adam_v"]},
        "c": {"Momentum:0": ["c/Momentum"]},
        "d": {"RMSProp:rms": ["d/RMSProp"], "RMSProp:momentum": ["d/RMSProp_1"]},
        "e": {"RMSProp:rms": ["e/RMSProp"], "RMSProp:mg": ["e/RMSProp_1"], "RMSProp:momentum": ["e/RMSProp_2"]},
    }
    assert state.beta_powers == ("beta1_power", "beta2_power")
    assert "w" not in state.tensors and "w/Adam" in state.tensors


def test_objects_count_and_have_rates() -> None:
    value = "/.ATTRIBUTES/VARIABLE_VALUE"
    shapes = {f"{path}{value}": () for path in ("v", "v/.OPTIMIZER_SLOT/opt/m", "opt/iter", "opt/learning_rate")}
    state = find_optimizer_state(shapes)
    assert state.slots == {f"v{value}": {"m": [f"v/.OPTIMIZER_SLOT/opt/m{value}"]}}
    assert state.counters == (f"opt/iter{value}",) and state.rates == (f"opt/learning_rate{value}",)


def test_powers_of_two_optimizers_are_nobodys() -> None:
    names = ("beta1_power", "beta2_power", "d/beta1_power", "d/beta2_power")
    state = find_optimizer_state({"w": (1,), "w/Adam": (1,), **dict.fromkeys(names, ())})
    assert state.beta_powers is None


@pytest.mark.parametrize("num_steps", [0, 1, 100, 5000, 60_000])
def test_steps_are_told_from_the_powers_of_the_betas(num_steps: int) -> None:
    one, two = np.float32(0.9), np.float32(0.999)
    for _ in range(num_steps):
        one, two = one * np.float32(0.9), two * np.float32(0.999)
    found = steps_from_powers(float(one), float(two), 0.9, 0.999)
    assert found is not None and abs(found - num_steps) <= num_steps // 10_000
    assert num_steps not in (100, 5000) or steps_from_powers(float(one), float(two), 0.5, 0.9) is None


def test_powers_that_are_zero_say_nothing() -> None:
    assert steps_from_powers(0.0, 0.0, 0.9, 0.999) is None


def test_momentum_of_other_programs_is_not_taken_for_that_of_tf_train() -> None:
    value = "/.ATTRIBUTES/VARIABLE_VALUE"
    objects = {f"{path}{value}": (2,) for path in ("w", "w/.OPTIMIZER_SLOT/momentum/momentum")}
    assert find_optimizer_state(objects).slots[f"w{value}"].keys() == {"momentum"}
    in_graph = {"w": (2,), "b": (3,), "momentum/w/momentum": (2,), "momentum/b/momentum": (3,)}
    numbers = {"momentum/iter": (), "momentum/decay": ()}
    assert find_optimizer_state({**in_graph, **numbers}).slots["w"].keys() == {"momentum"}
    own_name = {"w": (2,), "b": (3,), "w/my_momentum": (2,), "b/my_momentum": (3,)}
    assert find_optimizer_state(own_name).slots["w"].keys() == {"my_momentum"}
    two = {"w": (2,), "b": (3,), "w/g_adam": (2,), "b/g_adam": (3,), "w/g_adam_1": (2,), "b/g_adam_1": (3,)}
    assert find_optimizer_state(two).slots["w"] == {"Adam:0": ["w/g_adam"], "Adam:1": ["w/g_adam_1"]}
