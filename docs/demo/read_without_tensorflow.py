"""Lists, verifies and reads the checkpoint in a process that cannot import TensorFlow.

    python read_without_tensorflow.py DIRECTORY
"""

import importlib.abc
import runpy
import sys

import numpy as np


class NoTensorFlow(importlib.abc.MetaPathFinder):
    """Refuses TensorFlow and Keras even where they are installed."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in ("tensorflow", "keras"):
            raise ImportError(f"{fullname} is not to be had in this process")


def tfsaver_command(*arguments: str) -> None:
    """Runs `tfsaver ...` in this process, as `python -m tfsaver` would."""
    print(f"\n$ tfsaver {' '.join(arguments)}", flush=True)
    sys.argv = ["tfsaver", *arguments]
    try:
        runpy.run_module("tfsaver", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise


directory = sys.argv[1]
sys.meta_path.insert(0, NoTensorFlow())
try:
    import tensorflow  # noqa: F401
except ImportError as error:
    print(f"import tensorflow: {error}")
else:
    sys.exit("this process can import TensorFlow, so it would prove nothing")

import tfsaver  # noqa: E402  (after the door has been shut)

prefix = tfsaver.latest_checkpoint(directory)
tfsaver_command("inspect", prefix)
tfsaver_command("verify", prefix)

print()
values = np.load(f"{directory}/values.npz")
with tfsaver.load_checkpoint(prefix) as reader:
    equal = [name for name in values if reader[name].tobytes() == values[name].tobytes()]
    print(f"load_checkpoint: {len(equal)} of {len(values)} tensors equal the session's, bit for bit")
    complete = set(reader) == set(values) == set(equal)
print(f"modules called tensorflow in this process: {sum(name.partition('.')[0] == 'tensorflow' for name in sys.modules)}")
sys.exit(0 if complete else 1)
