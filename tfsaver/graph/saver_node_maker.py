"""Makes the Saver's nodes one by one, counts their names, and knows on which device each is.

A name in the scope is numbered from its second use on, for each base name by itself; so the order in which nodes are made is
part of their names, and is TensorFlow's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError
from tfsaver.graph import node_builder
from tfsaver.graph.devices import canonical_device, cpu_0_of, merged_device
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.node_builder import of_bool, of_int, of_string, of_strings, of_type, of_types
from tfsaver.graph.tensor_names import COLOCATION, is_control, normalized

Flavour: TypeAlias = Literal["1.15", "2.21"]
Format: TypeAlias = Literal["v1", "v2"]

_CPU_0 = "/device:CPU:0"
_ANY_CPU = "/device:CPU:*"
_STRING = of_type(schemas.DT_STRING)
SHARDED_NAMES = "_temp/part"
_S3_NAMES = ".part"


_JOIN = {"N": of_int(2), "separator": of_string("")}


class SaverNodeMaker:
    """Adds nodes and counts their names."""

    def __init__(self, scope: str, flavour: Flavour, format: Format, reshape: bool) -> None:  # noqa: A002
        self.nodes: list[schemas.NodeDef] = []
        self.prefix = f"{scope}/Const" if scope else "Const"
        self._scope = f"{scope}/" if scope else ""
        self._is_new = flavour == "2.21"
        self._is_v1 = format == "v1"
        self._reshape = reshape
        self._used: dict[str, int] = {}

    def unsharded(self, variables: list[GraphVariable], filename: str) -> tuple[str, str]:
        """One save and one restore; the names of the tensor that saves and the operation that restores."""
        self._add_prefix(filename)
        saved = self._add_save(self.prefix, variables, "")
        restore_all = self._scope + "restore_all"
        self._add_group(restore_all, self._add_restores(variables, _CPU_0, ""), is_last=True)
        return saved, restore_all

    def sharded(self, variables: list[GraphVariable], filename: str, sharded_names: str) -> tuple[str, str]:
        """One save and one restore for each device."""
        self._add_prefix(filename)
        groups: dict[str, list[GraphVariable]] = {}
        for variable in variables:
            groups.setdefault(self._group_device(variable), []).append(variable)
        shards = [(device, cpu_0_of(device), groups[device]) for device in sorted(groups)]
        base = self.prefix if self._is_v1 else self._add_sharded_names(sharded_names)
        num_shards = self._name("num_shards")
        self.nodes.append(node_builder.int32_const(num_shards, len(shards)))
        names, saved = [], []
        for number, (own_device, cpu_0, group) in enumerate(shards):
            # In the first format the shards are saved on the devices themselves.
            device = own_device if self._is_v1 else cpu_0
            name = self._name("ShardedFilename")
            self.nodes.append(node_builder.int32_const(f"{name}/shard", number, device=device))
            self._add("ShardedFilename", name, [base, f"{name}/shard", num_shards], device=device)
            names.append(name)
            saved.append(self._add_save(name, group, device, is_shard=True))
        result = self._add_filespec(num_shards, saved) if self._is_v1 else self._add_merge(names, saved, shards[-1][1])
        restored: list[tuple[str, str]] = []
        for own_device, cpu_0, group in shards:
            assigns = self._add_restores(group, cpu_0, own_device)
            restored.append(self._add_group(self._name("restore_shard"), assigns, own_device))
        restore_all = self._scope + "restore_all"
        self._add_group(restore_all, restored, is_last=True)
        return result, restore_all

    def _group_device(self, variable: GraphVariable) -> str:
        """The device whose data file a variable goes to."""
        if self._is_new or not self._is_read_anew(variable):
            return canonical_device(variable.device)
        # The older TensorFlow asks the tensor to save for its device: it makes one to ask, another to save.
        self._value_of(variable)
        return cpu_0_of(variable.device)

    @staticmethod
    def _is_read_anew(variable: GraphVariable) -> bool:
        """Whether the graph has no tensor yet that can be saved."""
        return variable.is_resource and (variable.is_part or not variable.snapshot)

    def _name(self, base: str) -> str:
        """The base name in the scope, numbered from the second use on."""
        count = self._used.get(base, 0)
        self._used[base] = count + 1
        return f"{self._scope}{base}_{count}" if count else f"{self._scope}{base}"

    def _add(
        self,
        op: str,
        name: str,
        inputs: Iterable[str] = (),
        attrs: Mapping[str, schemas.AttrValue] | None = None,
        *,
        device: str = "",
        is_waited_for: bool = False,
    ) -> str:
        attrs = dict(attrs or {})
        # Control inputs have no order of their own; TensorFlow writes them behind the others, sorted.
        inputs = sorted(inputs, key=lambda each: (is_control(each), is_control(each) and each))
        if is_waited_for and self._is_new:
            attrs["_has_manual_control_dependencies"] = of_bool(True)
        self.nodes.append(node_builder.node(op, name, inputs, attrs, device=device))
        return name

    def _add_prefix(self, filename: str) -> None:
        name = self._name("filename")
        self.nodes.append(node_builder.string_const(f"{name}/input", filename))
        attrs = {"dtype": _STRING, "shape": node_builder.of_shape([])}
        self._add("PlaceholderWithDefault", name, [f"{name}/input"], attrs)
        self._add("PlaceholderWithDefault", self._name("Const"), [name], attrs)

    def _add_sharded_names(self, sharded_names: str) -> str:
        if not self._is_new:
            join = self._name("StringJoin")
            self.nodes.append(node_builder.string_const(f"{join}/inputs_1", sharded_names))
            return self._add("StringJoin", join, [self.prefix, f"{join}/inputs_1"], _JOIN)
        match = self._add(
            "StaticRegexFullMatch",
            self._name("StaticRegexFullMatch"),
            [self.prefix],
            {"pattern": of_string("^s3://.*")},
            device=_ANY_CPU,
        )
        choices = []
        for text in (_S3_NAMES, SHARDED_NAMES):
            choices.append(self._name("Const"))
            self.nodes.append(node_builder.string_const(choices[-1], text, device=_ANY_CPU))
        select = self._add("Select", self._name("Select"), [match, *choices], {"T": _STRING}, device=_ANY_CPU)
        return self._add("StringJoin", self._name("StringJoin"), [self.prefix, select], _JOIN, device=_ANY_CPU)

    def _add_save(self, prefix: str, variables: list[GraphVariable], device: str, *, is_shard: bool = False) -> str:
        values = [self._value_of(variable, device) for variable in variables]
        types = of_types(variable.dtype.data_type for variable in variables)
        if self._is_v1:
            save, slices_name, attrs = self._name("save"), "shapes_and_slices", {"T": types}
        else:
            save, slices_name, attrs = self._name("SaveV2"), "shape_and_slices", {"dtypes": types}
        labels = self._add_labels(save, slices_name, variables, device)
        op = "SaveSlices" if self._is_v1 else "SaveV2"
        self._add(op, save, [prefix, *labels, *values], attrs, device=device, is_waited_for=True)
        attrs = {"T": _STRING, "_class": of_strings([COLOCATION + prefix.encode()])}
        # Colocated with the prefix, which is on the shard's device too.
        return self._add(
            "Identity",
            self._name("control_dependency"),
            [prefix, f"^{save}"],
            attrs,
            device=device,
            is_waited_for=is_shard,
        )

    def _value_of(self, variable: GraphVariable, shard_device: str = "") -> str:
        """The tensor to save."""
        if not variable.is_resource:
            return normalized(variable.snapshot) if variable.is_part and variable.snapshot else variable.node
        if not self._is_read_anew(variable):
            return normalized(variable.snapshot)
        # A variable that leaves its device open is read where its shard is saved.
        own_device = merged_device(shard_device, variable.device)
        read = self._name("Read")
        if self._is_new:
            self._add("DisableCopyOnRead", f"{read}/DisableCopyOnRead", [variable.node], device=own_device)
        dtype = of_type(variable.dtype.data_type)
        value = f"{read}/ReadVariableOp"
        self._add("ReadVariableOp", value, [variable.node], {"dtype": dtype}, device=own_device)
        for device in (own_device, cpu_0_of(variable.device)):
            value = self._add("Identity", self._name("Identity"), [value], {"T": dtype}, device=device)
        return value

    def _add_labels(self, owner: str, slices_name: str, variables: list[GraphVariable], device: str) -> list[str]:
        names, slices = f"{owner}/tensor_names", f"{owner}/{slices_name}"
        self.nodes.append(node_builder.strings_const(names, [variable.name for variable in variables], device=device))
        texts = [variable.shape_and_slice for variable in variables]
        self.nodes.append(node_builder.strings_const(slices, texts, device=device))
        return [names, slices]

    def _add_merge(self, names: list[str], saved: list[str], device: str) -> str:
        merge = self._name("MergeV2Checkpoints")
        prefixes = f"{merge}/checkpoint_prefixes"
        attrs = {"N": of_int(len(names)), "T": _STRING, "axis": of_int(0)}
        done = [f"^{name}" for name in saved]
        self._add("Pack", prefixes, [*names, *done], attrs, device=device)
        attrs = {"delete_old_dirs": of_bool(True)}
        if self._is_new:
            attrs["allow_missing_files"] = of_bool(False)
        self._add("MergeV2Checkpoints", merge, [prefixes, self.prefix], attrs, device=device, is_waited_for=True)
        return self._add(
            "Identity", self._name("Identity"), [self.prefix, f"^{merge}", *done], {"T": _STRING}, device=device
        )

    def _add_filespec(self, num_shards: str, saved: list[str]) -> str:
        inputs = [self.prefix, num_shards, *(f"^{name}" for name in saved)]
        return self._add("ShardedFilespec", self._name("ShardedFilespec"), inputs)

    def _add_restores(
        self, variables: list[GraphVariable], device: str, shard_device: str
    ) -> list[tuple[str, str]]:
        """The assignments and their devices; `device` is the one that reads the files."""
        restore = self._name("RestoreV2")
        labels = self._add_labels(restore, "shape_and_slices", variables, device)
        types = of_types(variable.dtype.data_type for variable in variables)
        self._add("RestoreV2", restore, [self.prefix, *labels], {"dtypes": types}, device=device)
        assigns = []
        for number, variable in enumerate(variables):
            value = f"{restore}:{number}" if number else restore
            if self._reshape:
                value = self._add_reshape(value, variable, shard_device)
            own_device = merged_device(shard_device, variable.device)
            assigns.append((self._add_assign(value, variable, own_device), own_device))
        return assigns

    def _add_assign(self, value: str, variable: GraphVariable, device: str) -> str:
        dtype = of_type(variable.dtype.data_type)
        if variable.is_resource:
            identity = self._name("Identity")
            self._add("Identity", identity, [value], {"T": dtype}, device=device)
            attrs = {"dtype": dtype}
            if self._is_new:
                attrs["validate_shape"] = of_bool(False)
            op, inputs = "AssignVariableOp", [variable.node, identity]
        else:
            attrs = {
                "T": dtype,
                "_class": of_strings(variable.colocation or (COLOCATION + variable.node.encode(),)),
                "use_locking": of_bool(True),
                "validate_shape": of_bool(not self._reshape),
            }
            op, inputs = "Assign", [variable.node, value]
        return self._add(op, self._name(op), inputs, attrs, device=device, is_waited_for=True)

    def _add_reshape(self, value: str, variable: GraphVariable, device: str) -> str:
        if variable.shape is None or None in variable.shape:
            raise InvalidArgumentError(f"variable {variable.node!r}: to reshape to its shape, that must be known")
        shape = [size for size in variable.shape if size is not None]
        if any(size > (1 << 31) - 1 for size in shape) or math.prod(shape) < 0:
            raise InvalidArgumentError(f"variable {variable.node!r}: shape {shape} has no 32-bit form")
        if self._is_read_anew(variable):
            # TensorFlow reads it once more, to ask for its shape.
            self._value_of(variable, device)
        name = self._name("Reshape")
        self.nodes.append(node_builder.int32s_const(f"{name}/shape", shape, device=device))
        attrs = {"T": of_type(variable.dtype.data_type), "Tshape": of_type(schemas.DT_INT32)}
        return self._add("Reshape", name, [value, f"{name}/shape"], attrs, device=device)

    def _add_group(
        self, name: str, operations: list[tuple[str, str]], shard_device: str = "", *, is_last: bool = False
    ) -> tuple[str, str]:
        """A node that waits for operations, by way of one on each device; its name and device."""
        by_device: dict[str, list[str]] = {}
        for operation, device in operations:
            by_device.setdefault(device, []).append(f"^{operation}")
        if len(by_device) == 1:
            device, inputs = next(iter(by_device.items()))
            self._add("NoOp", name, inputs, device=device, is_waited_for=not is_last)
            return name, device
        waiting = []
        for number, device in enumerate(sorted(by_device)):
            part = f"{name}/NoOp_{number}" if number else f"{name}/NoOp"
            self._add("NoOp", part, by_device[device], device=device, is_waited_for=True)
            waiting.append(f"^{part}")
        self._add("NoOp", name, waiting, device=shard_device, is_waited_for=not is_last)
        return name, shard_device
