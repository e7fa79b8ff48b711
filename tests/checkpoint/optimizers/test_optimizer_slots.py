"""Names that real programs give to optimizer state, and names that only look like it."""

from __future__ import annotations

import pathlib

import pytest

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.objects.object_graph import full_names_of_keys
from tfsaver.checkpoint.optimizers.optimizer_slots import OptimizerTensor, find_moving_averages, find_optimizer_tensors

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def shapes_of(path: pathlib.Path) -> dict[str, tuple[int, ...]]:
    with load_checkpoint(path) as reader:
        return {name: reader.shape(name) for name in reader}


# What each optimizer of TensorFlow 1.15 and its contrib adds to a graph with one variable.
@pytest.mark.parametrize(
    ("optimizer", "slots"),
    [
        ("Adadelta", ["w/Adadelta", "w/Adadelta_1"]),
        ("Adagrad", ["w/Adagrad"]),
        ("AdagradDA", ["w/AdagradDA", "w/AdagradDA_1"]),
        ("Adam", ["beta1_power", "beta2_power", "w/Adam", "w/Adam_1"]),
        ("AdaMax", ["beta1_power", "w/AdaMax", "w/AdaMax_1"]),
        ("AdamW", ["beta1_power", "beta2_power", "w/AdamW", "w/AdamW_1"]),
        ("AddSignOptimizer", ["w/AddSignOptimizer"]),
        ("Ftrl", ["w/Ftrl", "w/Ftrl_1"]),
        ("LARSOptimizer", ["w/LARSOptimizer"]),
        ("Momentum", ["w/Momentum"]),
        ("MomentumW", ["w/MomentumW"]),
        ("PowerSignOptimizer", ["w/PowerSignOptimizer"]),
        ("ProximalAdagrad", ["w/ProximalAdagrad"]),
        ("RegAdagrad", ["w/RegAdagrad"]),
        ("RMSProp", ["w/RMSProp", "w/RMSProp_1", "w/RMSProp_2"]),
    ],
)
def test_slots_of_tf1_optimizers(optimizer: str, slots: list[str]) -> None:
    shapes = {"w": (3, 4), "global_step": (), **{name: () if "power" in name else (3, 4) for name in slots}}
    assert find_optimizer_tensors(shapes) == {
        name: OptimizerTensor(optimizer, name.removeprefix("w/"), None if "power" in name else "w") for name in slots
    }


def test_two_optimizers_of_one_variable_number_on() -> None:
    shapes = {"w": (3,), "w/Adam": (3,), "w/Adam_1": (3,), "w/Adam_2": (3,), "w/Adam_3": (3,), "beta1_power_1": ()}
    found = find_optimizer_tensors(shapes)
    assert found["w/Adam_3"] == ("Adam", "Adam_3", "w")
    assert found["beta1_power_1"] == ("Adam", "beta1_power_1", None)


def test_slot_made_inside_of_a_scope_finds_the_variable_outside() -> None:
    shapes = {"net/w": (2,), "w": (2,), "training/net/w/Momentum": (2,), "training/beta1_power": ()}
    assert find_optimizer_tensors(shapes) == {"training/net/w/Momentum": ("Momentum", "Momentum", "net/w")}


def test_factored_slots_may_lack_dimensions() -> None:
    shapes = {
        "w": (6, 4),
        "b": (4,),
        "c": (9, 9),
        "w_slot_vr": (6,),
        "w_slot_vc": (4,),
        "b_slot_v": (4,),
        "w/Adafactor": (6,),
        "w/Adafactor_1": (4,),
        "w/vr": (6,),
        "w/vc": (4,),
        "w/Shampoo_1": (6, 6),
        "c/Adafactor": (3,),
    }
    found = find_optimizer_tensors(shapes)
    assert found["w_slot_vc"] == ("Adafactor", "slot_vc", "w")
    assert found["b_slot_v"] == ("Adafactor", "slot_v", "b")
    assert found["w/vr"] == ("Adafactor", "vr", "w")
    assert found["w/Shampoo_1"] == ("Shampoo", "Shampoo_1", "w")
    assert "c/Adafactor" not in found


def test_slots_of_lamb_and_bert() -> None:
    found = find_optimizer_tensors({"a/w": (2,), "a/w/adam_m": (2,), "a/w/lamb_v": (2,), "lost/adam_v": (2,)})
    assert found == {"a/w/adam_m": ("Adam", "adam_m", "a/w"), "a/w/lamb_v": ("LAMB", "lamb_v", "a/w")}


@pytest.mark.parametrize(
    "shapes",
    [
        {"Momentum": (3,), "Adam/kernel": (3,), "Adam": (3,)},
        {"w": (3,), "w/Adam": (4,)},
        {"lost/Adam": (3,)},
        {"beta1_power": (), "w": (3,)},
        {"w": (3,), "w/ExponentialMovingAverage": (3,)},
        {"bn/moving_mean": (3,), "bn/moving_mean/biased": (3,), "bn/beta": (3,), "m": (), "v": ()},
        {"Adam/beta": (3,), "Adam/kernel": (3, 3)},
        {"": (3,), "/Adam": (2,)},
    ],
)
def test_names_that_only_look_like_slots_are_left_alone(shapes: dict[str, tuple[int, ...]]) -> None:
    assert find_optimizer_tensors(shapes) == {}


def test_keras_scopes_of_tf1() -> None:
    shapes = {
        "dense/kernel": (3, 2),
        "training_2/SGD/momentum": (),
        "training_2/SGD/dense/kernel/momentum": (3, 2),
        "Adam_1/iter": (),
        "Adam_1/dense/kernel/vhat": (3, 2),
        "training/Adam/Variable_3": (3, 2),
        "training/Adam/lost/m": (3, 2),
    }
    assert find_optimizer_tensors(shapes) == {
        "training_2/SGD/momentum": ("SGD", "momentum", None),
        "training_2/SGD/dense/kernel/momentum": ("SGD", "momentum", "dense/kernel"),
        "Adam_1/iter": ("Adam_1", "iter", None),
        "Adam_1/dense/kernel/vhat": ("Adam_1", "vhat", "dense/kernel"),
        "training/Adam/Variable_3": ("Adam", "Variable_3", None),
    }


def test_object_slots_and_the_numbers_of_their_optimizer() -> None:
    names = ["l/k", "l/k/.OPTIMIZER_SLOT/train/opt/m", "train/opt/beta_1", "train/step", "lost/.OPTIMIZER_SLOT/train/opt/m"]
    found = find_optimizer_tensors({name + VALUE: () for name in names})
    assert found == {
        names[1] + VALUE: ("train/opt", "m", "l/k" + VALUE),
        names[2] + VALUE: ("train/opt", "beta_1", None),
    }


def test_optimizer_without_slots_is_known_by_its_numbers() -> None:
    names = ["optimizer/iter", "optimizer/learning_rate", "model/iter", "model/w"]
    found = find_optimizer_tensors({name + VALUE: () for name in names})
    assert sorted(found) == ["optimizer/iter" + VALUE, "optimizer/learning_rate" + VALUE]


KERAS_3 = {
    "optimizer/_iterations": ("adam/iteration", ()),
    "optimizer/_learning_rate": ("adam/learning_rate", ()),
    "optimizer/_variables/2": ("adam/sequential_d_kernel_velocity_hat", (3, 2)),
    "optimizer/_variables/3": ("Adam/m/sequential/d/kernel", (3, 2)),
    "optimizer/_variables/4": ("adafactor/kernel", (3,)),
    "optimizer/_trainable_variables/0": ("sequential/d/kernel", (3, 2)),
}


def test_keras_3_slots_are_named_by_the_object_graph() -> None:
    shapes = {key + VALUE: shape for key, (_, shape) in KERAS_3.items()}
    graph = schemas.TrackableObjectGraph()
    for key, (full_name, _) in KERAS_3.items():
        graph.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name=full_name, checkpoint_key=key + VALUE)
    found = find_optimizer_tensors(shapes, full_names_of_keys(graph.SerializeToString()))
    model_variable = "optimizer/_trainable_variables/0" + VALUE
    assert found["optimizer/_variables/2" + VALUE] == ("optimizer", "velocity_hat", model_variable)
    assert found["optimizer/_variables/3" + VALUE] == ("optimizer", "m", model_variable)
    assert found["optimizer/_variables/4" + VALUE] == ("optimizer", "_variables/4", None)
    assert found["optimizer/_iterations" + VALUE] == ("optimizer", "_iterations", None)
    assert model_variable not in found


def test_keras_3_slots_without_the_object_graph_have_no_variable() -> None:
    found = find_optimizer_tensors({key + VALUE: shape for key, (_, shape) in KERAS_3.items()})
    assert len(found) == 5
    assert all(tensor.variable is None for tensor in found.values())


def test_names_with_two_readings_give_no_variable() -> None:
    names = {"a/b_c": "x", "a_b/c": "y", "sgd/a_b_c_momentum": "opt/_variables/0", "sgd/iteration": "opt/_iterations"}
    shapes = {key + VALUE: (2,) for key in names.values()}
    found = find_optimizer_tensors(shapes, {key + VALUE: name for name, key in names.items()})
    assert found == {"opt/_variables/0" + VALUE: ("opt", "_variables/0", None)}


def test_moving_averages_are_those_of_variables() -> None:
    shapes = {"w": (3,), "w/ExponentialMovingAverage": (3,), "loss/ExponentialMovingAverage": ()}
    assert find_moving_averages(shapes) == {"w/ExponentialMovingAverage": "w"}


@pytest.mark.parametrize(
    ("case", "optimizers", "num_others"),
    [
        ("v2_tiny_bert_keras_bert/bert_model.ckpt", {"Adam": 92}, 47),
        ("v2_t2t_transformer_two_shards/model.ckpt-1", {"Adam": 164}, 86),
        ("v2_tfx_estimator_ckpt", {"Adagrad": 12, "Ftrl": 27}, 21),
        ("gen_partitioned_v1_single", {"Adagrad": 2}, 4),
        ("gen_partitioned_v2_sharded", {"Adagrad": 2}, 4),
        ("gen_partitioned_v2_single", {"Adagrad": 2}, 4),
        ("sm_tf_OptimizerSlotVariableModule", {"opt": 7}, 2),
        ("sm_fuzz_bad_node_attr", {"optimizer": 13}, 7),
    ],
)
def test_optimizers_of_real_checkpoints(cases: pathlib.Path, case: str, optimizers: dict[str, int], num_others: int) -> None:
    shapes = shapes_of(cases / case)
    found = find_optimizer_tensors(shapes)
    counts: dict[str, int] = {}
    for tensor in found.values():
        counts[tensor.optimizer] = counts.get(tensor.optimizer, 0) + 1
        assert tensor.variable is None or tensor.variable in shapes.keys() - found.keys()
    assert counts == optimizers
    assert len(shapes) - len(found) == num_others


def test_factored_slots_of_a_square_variable_are_slots() -> None:
    shapes = {"w": (4, 4), "w/Adafactor": (4,), "w/Adafactor_1": (4,), "x": (2, 3), "x/Adafactor": (5,)}
    assert set(find_optimizer_tensors(shapes)) == {"w/Adafactor", "w/Adafactor_1"}
