"""Writes tfsaver/graph/op_defs.txt, the table of operations, from the registries of two TensorFlows.

    python3.7 .ci/op_defs.py dump /tmp/1.15.binpb          with TensorFlow 1.15 beside it
    python .ci/op_defs.py dump /tmp/2.21.binpb             with the newest
    python .ci/op_defs.py write /tmp/1.15.binpb /tmp/2.21.binpb > tfsaver/graph/op_defs.txt

A row is an operation as the newer one has it; `tfsaver.graph.op_defs` says how it is written. Internal operations, whose
names begin with an underscore, stand in no graph that is in a file.
"""

import sys


def dump(path):
    """Writes an OpList: all operations that are registered in this process."""
    try:
        from tensorflow.python.client import pywrap_tf_session as c_api

        operations = c_api.TF_GetAllOpList()
    except (ImportError, AttributeError):
        from tensorflow.python import pywrap_tensorflow as c_api

        operations = c_api.TF_GetAllOpList()
    with open(path, "wb") as file:
        file.write(c_api.TF_GetBuffer(operations))


def write(old_path, new_path):
    """Prints the rows, in the order of the names."""
    old, new = _read(old_path), _read(new_path)
    for name in sorted({**old, **new}):
        if not name.startswith("_"):
            print(_row(new.get(name, old.get(name)), old.get(name)))


def _read(path):
    from tfsaver import schemas

    with open(path, "rb") as file:
        return {op.name: op for op in schemas.OpList.FromString(file.read()).op}


def _row(op, old):
    known = None if old is None else {attr.name for attr in old.attr}
    inputs, outputs = ", ".join(map(_arg, op.input_arg)), ", ".join(map(_arg, op.output_arg))
    attrs = ", ".join(("" if known is None or attr.name in known else "+") + _attr(attr) for attr in op.attr)
    row = ("+" if old is None else "") + op.name + "(" + inputs + ")"
    row += (" -> " + outputs if outputs else "") + (" stateful" if op.is_stateful else "")
    return row + (" | " + attrs if attrs else "")


def _arg(arg):
    kind = arg.type_attr or _type(arg.type)
    if arg.type_list_attr:
        kind = "[" + arg.type_list_attr + "]"
    elif arg.number_attr:
        kind = arg.number_attr + "*" + kind
    return arg.name + ": " + ("&" if arg.is_ref else "") + kind


def _attr(attr):
    text = attr.name + ": " + attr.type
    return text + (" = " + _default(attr.default_value, attr.type) if attr.HasField("default_value") else "")


def _default(value, kind):
    if kind == "bool":
        return "true" if value.b else "false"
    if kind == "int":
        return str(value.i)
    if kind == "float":
        return repr(value.f)
    if kind == "string":
        return _text(value.s)
    if kind == "type":
        return _type(value.type)
    if kind == "shape" and value.shape.unknown_rank:
        return "unknown"
    if kind in ("list(int)", "list(float)", "list(string)", "list(type)"):
        item = {"list(int)": "i", "list(float)": "f", "list(string)": "s", "list(type)": "type"}[kind]
        write_item = {"i": str, "f": repr, "s": _text, "type": _type}[item]
        return "[" + " ".join(map(write_item, getattr(value.list, item))) + "]"
    if value.WhichOneof("value") == "list" and not value.list.ListFields():
        return "[]"
    return "proto:" + value.SerializeToString().hex()


def _text(value):
    shown = b"_./:-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return '"' + "".join(chr(byte) if byte in shown else "\\x%02x" % byte for byte in value) + '"'


def _type(data_type):
    from tfsaver import schemas
    from tfsaver.framework import dtypes

    known = {dtype.data_type: dtype.name for dtype in dtypes.ALL}
    return known.get(data_type) or schemas.DataType.Name(data_type)


if __name__ == "__main__":
    {"dump": dump, "write": write}[sys.argv[1]](*sys.argv[2:])
