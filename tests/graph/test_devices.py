"""Devices are named as TensorFlow names them."""

from __future__ import annotations

import pytest

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError
from tfsaver.graph.devices import canonical_device, clear_devices, cpu_0_of, merged_device


@pytest.mark.parametrize(
    ("text", "canonical", "cpu_0"),
    [
        ("", "", "/device:CPU:0"),
        ("/gpu:0", "/device:GPU:0", "/device:CPU:0"),
        ("/GPU:*", "/device:GPU:*", "/device:CPU:0"),
        ("/device:gpu:1", "/device:GPU:1", "/device:CPU:0"),
        ("/device:TPU", "/device:TPU:*", "/device:CPU:0"),
        ("/task:3/job:ps", "/job:ps/task:3", "/job:ps/task:3/device:CPU:0"),
        ("/job:ps/replica:00/task:01/cpu:0", "/job:ps/replica:0/task:1/device:CPU:0", "/job:ps/replica:0/task:1/device:CPU:0"),
        ("/job:a/replica:*/task:*", "/job:a", "/job:a/device:CPU:0"),
    ],
)
def test_a_device_has_one_name(text: str, canonical: str, cpu_0: str) -> None:
    assert canonical_device(text) == canonical
    assert cpu_0_of(text) == cpu_0


@pytest.mark.parametrize("text", ["/job", "/job:a:b", "/a:b:c:d", "/device:", "/7:0"])
def test_what_is_no_device_is_said(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="device"):
        canonical_device(text)


def test_the_inner_of_two_devices_wins_part_by_part() -> None:
    assert merged_device("/job:ps/device:CPU:0", "/task:1") == "/job:ps/task:1/device:CPU:0"
    assert merged_device("/device:CPU:0", "/gpu:1") == "/device:GPU:1"
    assert merged_device("", "/gpu:1") == "/gpu:1"
    assert merged_device("/gpu:1", "") == "/gpu:1"


def test_clearing_devices_leaves_the_given_graph_alone() -> None:
    graph = schemas.GraphDef(node=[schemas.NodeDef(name="a", device="/gpu:0")])
    graph.library.function.add().node_def.add(name="b", device="/gpu:1")
    cleared = clear_devices(graph)
    assert cleared.node[0].device == cleared.library.function[0].node_def[0].device == ""
    assert graph.node[0].device == "/gpu:0"
    assert clear_devices(graph, functions=False).library.function[0].node_def[0].device == "/gpu:1"
