"""Names that real programs give to optimizer state, and names that only look like it."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re

import pytest

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.objects.object_graph import full_names_of_keys
from tfsaver.checkpoint.optimizers.training_tensors import (
    GraphEvidence,
    TrainingTensor,
    find_moving_averages,
    find_training_tensors,
)
from tfsaver.errors import UnimplementedError

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
    assert find_training_tensors(shapes).found == {
        name: TrainingTensor(optimizer, name.removeprefix("w/"), None if "power" in name else "w") for name in slots
    }


def test_two_optimizers_of_one_variable_number_on() -> None:
    shapes = {"w": (3,), "w/Adam": (3,), "w/Adam_1": (3,), "w/Adam_2": (3,), "w/Adam_3": (3,), "beta1_power_1": ()}
    found = find_training_tensors(shapes).found
    assert found["w/Adam_3"] == TrainingTensor("Adam", "Adam_3", "w")
    assert found["beta1_power_1"] == TrainingTensor("Adam", "beta1_power_1", None)


def test_slot_made_inside_of_a_scope_finds_the_variable_outside() -> None:
    shapes = {"net/w": (2,), "w": (2,), "training/net/w/Momentum": (2,), "training/beta1_power": ()}
    assert find_training_tensors(shapes).found == {"training/net/w/Momentum": TrainingTensor("Momentum", "Momentum", "net/w")}


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
    found = find_training_tensors(shapes).found
    assert found["w_slot_vc"] == TrainingTensor("Adafactor", "slot_vc", "w")
    assert found["b_slot_v"] == TrainingTensor("Adafactor", "slot_v", "b")
    assert found["w/vr"] == TrainingTensor("Adafactor", "vr", "w")
    assert found["w/Shampoo_1"] == TrainingTensor("Shampoo", "Shampoo_1", "w")
    assert "c/Adafactor" not in found


def test_slots_of_lamb_and_bert() -> None:
    found = find_training_tensors({"a/w": (2,), "a/w/adam_m": (2,), "a/w/lamb_v": (2,), "lost/adam_v": (2,)}).found
    assert found == {"a/w/adam_m": TrainingTensor("Adam", "adam_m", "a/w"), "a/w/lamb_v": TrainingTensor("LAMB", "lamb_v", "a/w")}


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
    assert find_training_tensors(shapes).found == {}


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
    assert find_training_tensors(shapes).found == {
        "training_2/SGD/momentum": TrainingTensor("SGD", "momentum", None),
        "training_2/SGD/dense/kernel/momentum": TrainingTensor("SGD", "momentum", "dense/kernel"),
        "Adam_1/iter": TrainingTensor("Adam_1", "iter", None),
        "Adam_1/dense/kernel/vhat": TrainingTensor("Adam_1", "vhat", "dense/kernel"),
        "training/Adam/Variable_3": TrainingTensor("Adam", "Variable_3", None),
    }


def test_object_slots_and_the_numbers_of_their_optimizer() -> None:
    names = ["l/k", "l/k/.OPTIMIZER_SLOT/train/opt/m", "train/opt/beta_1", "train/step", "lost/.OPTIMIZER_SLOT/train/opt/m"]
    found = find_training_tensors({name + VALUE: () for name in names}).found
    assert found == {
        names[1] + VALUE: TrainingTensor("train/opt", "m", "l/k" + VALUE),
        names[2] + VALUE: TrainingTensor("train/opt", "beta_1", None),
    }


def test_optimizer_without_slots_is_known_by_its_numbers() -> None:
    names = ["optimizer/iter", "optimizer/learning_rate", "model/iter", "model/w"]
    found = find_training_tensors({name + VALUE: () for name in names}).found
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
    found = find_training_tensors(shapes, full_names_of_keys(graph.SerializeToString())).found
    model_variable = "optimizer/_trainable_variables/0" + VALUE
    assert found["optimizer/_variables/2" + VALUE] == TrainingTensor("optimizer", "velocity_hat", model_variable)
    assert found["optimizer/_variables/3" + VALUE] == TrainingTensor("optimizer", "m", model_variable)
    assert found["optimizer/_variables/4" + VALUE] == TrainingTensor("optimizer", "_variables/4", None)
    assert found["optimizer/_iterations" + VALUE] == TrainingTensor("optimizer", "_iterations", None)
    assert model_variable not in found


def test_keras_3_slots_without_the_object_graph_have_no_variable() -> None:
    found = find_training_tensors({key + VALUE: shape for key, (_, shape) in KERAS_3.items()}).found
    assert len(found) == 5
    assert all(tensor.variable is None for tensor in found.values())


def test_names_with_two_readings_give_no_variable() -> None:
    names = {"a/b_c": "x", "a_b/c": "y", "sgd/a_b_c_momentum": "opt/_variables/0", "sgd/iteration": "opt/_iterations"}
    shapes = {key + VALUE: (2,) for key in names.values()}
    found = find_training_tensors(shapes, {key + VALUE: name for name, key in names.items()}).found
    assert found == {"opt/_variables/0" + VALUE: TrainingTensor("opt", "_variables/0", None)}


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
        ("sm_fuzz_bad_node_attr", {"optimizer": 13, "keras_api/metrics/0": 2}, 5),
    ],
)
def test_optimizers_of_real_checkpoints(cases: pathlib.Path, case: str, optimizers: dict[str, int], num_others: int) -> None:
    shapes = shapes_of(cases / case)
    found = find_training_tensors(shapes).found
    counts: dict[str, int] = {}
    for tensor in found.values():
        counts[tensor.optimizer] = counts.get(tensor.optimizer, 0) + 1
        assert tensor.variable is None or tensor.variable in shapes.keys() - found.keys()
    assert counts == optimizers
    assert len(shapes) - len(found) == num_others


def test_factored_slots_of_a_square_variable_are_slots() -> None:
    shapes = {"w": (4, 4), "w/Adafactor": (4,), "w/Adafactor_1": (4,), "x": (2, 3), "x/Adafactor": (5,)}
    assert set(find_training_tensors(shapes).found) == {"w/Adafactor", "w/Adafactor_1"}


KERNEL, BIAS = (3, 2), (2,)
MODEL = {"a/kernel": KERNEL, "a/bias": BIAS, "b/kernel": KERNEL, "b/bias": BIAS, "bn/moving_mean": BIAS}
TRAINED = [name for name in MODEL if "moving" not in name]


def companions(*tails: str, of: list[str] = TRAINED) -> dict[str, tuple[int, ...]]:
    return {f"{name}/{tail}": MODEL[name] for name in of for tail in tails}


@pytest.mark.parametrize(
    "extra",
    [
        # Averages, by their names or by what they are of.
        companions("polyak"),
        companions("weights_ema", "weights_ema_1"),
        companions("MovingAverage"),
        companions("smooth", "smooth_1", of=list(MODEL)),
        companions("momentum", of=list(MODEL)),
        companions("adam_avg"),
        {f"ema/{name}": MODEL[name] for name in MODEL},
        # Other networks of the same names.
        {f"momentum_encoder/{name}": MODEL[name] for name in MODEL},
        {f"target/{name}": MODEL[name] for name in MODEL},
        {f"policy_gradient/{name}": MODEL[name] for name in MODEL},
        {f"adam/{name}": MODEL[name] for name in MODEL},
        {f"train/{name}": MODEL[name] for name in MODEL},
        # A single companion, of a name that says nothing.
        companions("phase"),
        companions("mask", "mask_1"),
        {"a/kernel/x": KERNEL, "a/kernel/x_1": KERNEL},
        # Batch statistics and their zero debiasing.
        {"bn/moving_mean/biased": BIAS, "bn/moving_mean/local_step": ()},
        # Numbers of the model's own.
        {"temperature": (), "loss_scale": (), "learning_rate": (), "good_steps_of_games": ()},
        {"norm/count": (), "norm/mean": BIAS, "norm/variance": BIAS, "tally/total": BIAS, "tally/count": BIAS},
        {"votes/total": (), "votes/count": (), "votes/kernel": KERNEL},
    ],
)
def test_what_may_be_the_model_stays(extra: dict[str, tuple[int, ...]]) -> None:
    assert find_training_tensors({**MODEL, **extra, "global_step": ()}).found == {}


@pytest.mark.parametrize(
    "extra",
    [
        {**companions("g_opt", "g_opt_1"), "beta1_power": (), "beta2_power_1": ()},
        companions("RAdam", "RAdam_1"),
        companions("part_0/SM3", "part_0/SM3_1"),
        {**companions("my_m", "my_v"), "current_loss_scale": (), "good_steps": ()},
        {**companions("momentum_of_actor"), "OptimizeLoss/learning_rate": ()},
        {f"grad_accum/{name}": MODEL[name] for name in TRAINED},
        {**{f"tuner/{name}/{slot}": MODEL[name] for name in TRAINED for slot in "mv"}, "tuner/iter": (), "tuner/decay": ()},
        {
            **{f"tuner/{slot}/{name}": MODEL[name] for name in TRAINED for slot in "mv"},
            "tuner/iteration": (), "tuner/learning_rate": (),
        },
        {
            **{f"x/{name.replace('/', '_')}_velocity": MODEL[name] for name in TRAINED},
            "x/iteration": (), "x/learning_rate": (),
        },
        {"a/kernel/z": (3,), "a/kernel/z_1": (2,), "b/kernel/z": (3,), "b/kernel/z_1": (2,), "a/bias/z": BIAS, "b/bias/z": BIAS},
        {"a/kernel/z": (3, 1), "a/kernel/z_1": (1, 2), "b/kernel/z": (3, 1), "b/kernel/z_1": (1, 2)},
        {"a/kernel/head_adam": KERNEL, "a/kernel/head_adam_1": KERNEL, "beta1_power": (), "beta2_power": ()},
        {
            **{f"{name}/accumulator_{axis}": (3, 1) if axis == 0 else (1, 2) for name in TRAINED if "k" in name for axis in (0, 1)},
            **companions("accumulator_0", of=["a/bias", "b/bias"]),
        },
        {**{f"Tuner/{s}/{name}": MODEL[name] for name in TRAINED for s in "mv"}, "iteration": (), "learning_rate": ()},
        companions("grad_acc"),
        {"precision/true_positives/count": (), "precision/false_positives/count": ()},
        {"accuracy/total": (), "accuracy/count": (), "auc/true_positives": (9,), "auc/false_positives": (9,)},
    ],
)
def test_structure_says_what_is_state_of_training(extra: dict[str, tuple[int, ...]]) -> None:
    found = find_training_tensors({**MODEL, **extra, "global_step": ()}).found
    assert found.keys() == extra.keys()
    assert all(tensor.is_inferred for tensor in found.values())


def test_companion_of_another_dtype_is_no_slot() -> None:
    shapes = {**MODEL, **companions("s", "s_1")}
    dtypes = {name: "int32" if name.endswith(("/s", "/s_1")) else "float32" for name in shapes}
    assert find_training_tensors(shapes, dtypes=dtypes).found == {}
    assert len(find_training_tensors(shapes, dtypes=dict.fromkeys(shapes, "float32")).found) == 8


def test_graph_decides_about_companions() -> None:
    shapes = {**MODEL, **companions("phase"), **companions("s", "s_1")}
    undecided = find_training_tensors(shapes)
    assert undecided.questions == {"phase": tuple(companions("phase"))} and undecided.found.keys() == companions("s", "s_1").keys()
    evidence = GraphEvidence(trained=TRAINED, state=["a/bias/phase"], averages=["bn/moving_mean", *companions("s", "s_1")])
    assert find_training_tensors(shapes, evidence=evidence).found.keys() == companions("phase").keys()
    # What the graph trains is the model's, whatever its name.
    assert not find_training_tensors(shapes, evidence=GraphEvidence(list(shapes), [], [])).found


@pytest.mark.parametrize("part", ["part_0", "part_1", "t_0"])
def test_slots_of_a_part_are_slots_of_the_variable(part: str) -> None:
    shapes = {"w": (7, 2), f"w/{part}/Ftrl": (4, 2), f"w/{part}/Ftrl_1": (7, 2), f"w/{part}/Adam": (4, 1)}
    found = find_training_tensors(shapes).found
    assert found == {
        f"w/{part}/Ftrl": TrainingTensor("Ftrl", "Ftrl", "w"),
        f"w/{part}/Ftrl_1": TrainingTensor("Ftrl", "Ftrl_1", "w"),
    }


def test_averages_among_the_slots_of_objects_stay() -> None:
    names = ["w", "w/.OPTIMIZER_SLOT/opt/average", "w/.OPTIMIZER_SLOT/opt/m", "opt/iter", "opt/decay"]
    found = find_training_tensors({name + VALUE: () for name in names}).found
    assert sorted(found) == ["opt/decay" + VALUE, "opt/iter" + VALUE, "w/.OPTIMIZER_SLOT/opt/m" + VALUE]


def test_nothing_of_a_model_is_left_out_of_any_case(cases: pathlib.Path) -> None:
    checkpoints = [
        listing.parent / prefix
        for listing in sorted(cases.rglob("expected.json"))
        for prefix in json.loads(listing.read_text())["checkpoints"]
    ]
    known = re.compile(
        r"/(Adam|Adagrad|Ftrl|RMSProp|Momentum)(_\d+)?$|beta[12]_power|adam_[mv]$|^training/(Adagrad|Ftrl)/|OPTIMIZER_SLOT|"
        r"(^|/)(optimizer|opt)/(iter|_iterations|_?learning_rate|decay|beta_[12]|momentum|rho)/|/(total|count)/\.ATTRIBUTES"
    )
    assert len(checkpoints) > 60
    for path in checkpoints:
        with load_checkpoint(path) as reader:
            infos = {}
            for name in reader.names:
                with contextlib.suppress(UnimplementedError):
                    infos[name] = reader.info(name)
        dtypes = {name: info.dtype.name for name, info in infos.items()}
        found = find_training_tensors({name: info.shape for name, info in infos.items()}, dtypes=dtypes).found
        assert [name for name in found if not known.search(name)] == [], path


def test_averages_among_the_variables_of_a_keras_optimizer_stay() -> None:
    averages = {f"adam/{name.replace('/', '_')}_average": MODEL[name] for name in TRAINED}
    numbers = {"adam/iteration": (), "adam/learning_rate": ()}
    assert find_training_tensors({**MODEL, **averages, **numbers}).found.keys() == numbers.keys()


def test_vectors_of_adafactor_are_slots_next_to_its_rows_and_columns() -> None:
    extra = {"a/kernel/vr": (3,), "a/kernel/vc": (2,), "a/bias/v": BIAS, "b/bias/v": BIAS}
    assert find_training_tensors({**MODEL, **extra}).found.keys() == extra.keys()
