"""Nothing that is called a match is wrong: models that were renamed, transposed, grown and cut, against their old files.

Two errors cannot be seen and are not drawn here: two names of one shape that were exchanged, and a square matrix that was
stored transposed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsaver.checkpoint.names.name_map import Renamed
from tfsaver.checkpoint.restoring.proposals import Proposals, recipe_for
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.framework import dtypes

F4 = dtypes.from_name("float32")
_OLD = ("conv1", "conv2", "dense", "dense_1", "dense_2", "fc", "block_1/dense", "block_2/dense", "encoder/fc", "w1")
# Names that no old model has, one for each place of a layer.
_NEW = ("alpha", "bravo", "carol_1", "delta/x", "echo", "fox", "golf/a", "hotel/b", "india", "juliet")
_ROLES = (("kernel", "bias"), ("weights", "biases"), ("w", "b"))
_KINDS = ((2, 3), (2, 4), (3, 4), (3, 3, 2, 4), (4, 4))


@st.composite
def models(draw: st.DrawFn) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, tuple[int, ...]], dict[str, str]]:
    """An old file, the shapes of a new model, and which tensor each of its variables truly is; absent for new layers."""
    layers = draw(st.lists(st.sampled_from(range(len(_OLD))), unique=True, min_size=1, max_size=6))
    old_roles, new_roles = draw(st.sampled_from(_ROLES)), draw(st.sampled_from(_ROLES))
    prefix = draw(st.sampled_from(("", "model/", "net/tower/")))
    renamed = draw(st.booleans())
    there: dict[str, np.ndarray[Any, Any]] = {}
    wanted: dict[str, tuple[int, ...]] = {}
    truth: dict[str, str] = {}
    for layer in layers:
        shape = draw(st.sampled_from(_KINDS))
        fate = draw(st.sampled_from(("kept", "kept", "kept", "removed", "added")))
        scope = _NEW[layer] if renamed or fate == "added" else prefix + _OLD[layer]
        for old_role, new_role, size in zip(old_roles, new_roles, (shape, shape[-1:]), strict=True):
            old, new = f"{_OLD[layer]}/{old_role}", f"{scope}/{new_role}"
            turned = size if len(set(size)) < len(size) or not draw(st.booleans()) else size[::-1]
            if draw(st.booleans()) and len(size) == 1:
                turned = (1, *size)
            if fate != "added":
                there[old] = np.zeros(turned, np.float32)
            if fate != "removed":
                wanted[new] = size
            if fate == "kept":
                truth[new] = old
    return there, wanted, truth


@settings(max_examples=300, deadline=None)
@given(models())
def test_every_match_is_right_and_fits(model: Any) -> None:
    there, shapes, truth = model
    source = ArraySource(there)
    missing = {name: WantedTensor(name, F4, shape) for name, shape in shapes.items() if name not in there}
    known = {name: name for name in shapes if name in there}
    candidates = {key: key for key in source.names if key not in known}
    found = Proposals(missing, candidates, source.info, known)
    assert not found.matches.keys() & found.guesses.keys()
    assert len({*found.matches.values(), *found.guesses.values()}) == len(found.matches) + len(found.guesses)
    for name, key in found.matches.items():
        assert truth.get(name) == key
        recipe = found.recipes.get(name, {})
        assert there[key].transpose(recipe.get("transpose")).reshape(recipe.get("reshape", shapes[name])).shape == shapes[name]
        assert recipe or there[key].shape == shapes[name]
    for name, key in found.guesses.items():
        assert there[key].shape == shapes[name]


def propose(missing: dict[str, tuple[int, ...]], there: dict[str, tuple[int, ...]]) -> Proposals:
    source = ArraySource({name: np.zeros(shape, np.float32) for name, shape in there.items()})
    wanted = {name: WantedTensor(name, F4, shape) for name, shape in missing.items()}
    return Proposals(wanted, {name: name for name in source.names}, source.info)


def test_bias_keeps_the_scope_of_its_kernel() -> None:
    there = {f"vgg/conv1/conv1_{index}/{role}": shape
             for index, kernel in ((1, (3, 3, 3, 8)), (2, (3, 3, 8, 8))) for role, shape in (("weights", kernel), ("biases", (8,)))}
    missing = {name.removeprefix("vgg/conv1/").replace("weights", "kernel").replace("biases", "bias"): shape
               for name, shape in there.items()}
    assert propose(missing, there).matches == dict(zip(missing, there, strict=True))
    # Only the kernels' shapes tell the layers apart; the biases follow, as guesses like the kernels.
    strange = {name.replace("conv1_1", "a").replace("conv1_2", "b"): shape for name, shape in missing.items()}
    found = propose(strange, there)
    assert not found.matches and found.guesses == dict(zip(strange, there, strict=True))


def test_bias_of_another_layer_is_no_guess_where_the_kernel_is_known() -> None:
    there = {"pi/c1/w": (3, 3, 2, 8), "pi/c1/b": (1, 8, 1, 1), "lstm/wx": (4, 8), "lstm/b": (8,)}
    found = propose({"c1/kernel": (3, 3, 2, 8), "c1/bias": (8,)}, there)
    assert found.matches == {"c1/kernel": "pi/c1/w", "c1/bias": "pi/c1/b"} and not found.guesses
    assert found.recipes == {"c1/bias": {"reshape": [8]}}
    del there["pi/c1/b"]
    assert propose({"c1/kernel": (3, 3, 2, 8), "c1/bias": (8,)}, there).guesses == {}


def test_number_of_a_scope_is_part_of_its_name() -> None:
    found = propose({"dense_2/kernel": (4, 4)}, {"dense_1/kernel": (4, 4)})
    assert not found.matches and found.guesses == {"dense_2/kernel": "dense_1/kernel"}
    assert propose({"dense/kernel": (4, 4)}, {"dense/kernel_1": (4, 4)}).matches == {"dense/kernel": "dense/kernel_1"}


def test_transpose_is_proposed_where_there_is_one_way_alone() -> None:
    found = propose({"dense/kernel": (4, 3)}, {"net/dense/weights": (3, 4)})
    assert found.target("dense/kernel") == Renamed("dense/kernel", (1, 0))
    info = ArraySource({"w": np.zeros((8, 2, 3, 3), np.float32)}).info("w")
    assert recipe_for(info, WantedTensor("w", F4, (3, 3, 2, 8))) is None
    assert propose({"a/kernel": (4, 4)}, {"net/a/kernel": (4, 5)}).matches == {}


def test_role_alone_is_no_evidence_where_others_have_it() -> None:
    assert not propose({"x/kernel": (2, 2), "y/kernel": (5, 5)}, {"kernel": (2, 2)}).matches
    assert propose({"x/kernel": (2, 2)}, {"kernel": (2, 2)}).matches == {"x/kernel": "kernel"}
