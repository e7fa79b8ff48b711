"""Loads a SavedModel and runs a signature by TensorFlow's C interface alone, as servers in other languages do.

    python c_loader.py DIRECTORY_OF_TENSORFLOW

    request   {"verb": "run", "arguments": {"path": ..., "tags": [...], "feeds": {"x:0": [dtype, shape, values]},
               "fetches": ["y:0"]}}
    answer    {"result": [[dtype, shape, values], ...]} or {"error": ...}

The verb "load" takes path and tags, and only loads.

A line asks, a line answers; every request loads its model into a session of its own, which is closed afterwards.
The library is the one in TensorFlow's wheel; Python's part of TensorFlow is not imported. Runs under Python 3.7 too.
"""

import ctypes
import glob
import json
import os
import sys

import numpy as np

# The numbers of types.proto.
TYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "string": 7, "int64": 9, "bool": 10}
NAMES = {number: name for name, number in TYPES.items()}
LIBRARIES = ("libtensorflow_cc.so.2", "python/_pywrap_tensorflow_internal.so")
STRING_SIZE = 24  # of TensorFlow 2's TF_TString


class Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def library(directory):
    path = next(each for name in LIBRARIES for each in glob.glob(os.path.join(directory, name)))
    tf = ctypes.CDLL(path)
    pointers = (
        "NewStatus NewGraph NewSessionOptions LoadSessionFromSavedModel GraphOperationByName AllocateTensor TensorData Message"
    )
    for name in pointers.split():
        getattr(tf, "TF_" + name).restype = ctypes.c_void_p
    tf.TF_Message.restype = ctypes.c_char_p
    tf.TF_Dim.restype = ctypes.c_int64
    tf.TF_TensorByteSize.restype = ctypes.c_size_t
    if hasattr(tf, "TF_StringInit"):
        tf.TF_StringGetDataPointer.restype = ctypes.c_void_p
        tf.TF_StringGetSize.restype = ctypes.c_size_t
    return tf


class Model:
    """A session of a SavedModel."""

    def __init__(self, tf, path, tags):
        self.tf = tf
        self.status = ctypes.c_void_p(tf.TF_NewStatus())
        self.graph = ctypes.c_void_p(tf.TF_NewGraph())
        options = ctypes.c_void_p(tf.TF_NewSessionOptions())
        # inter_op and intra_op parallelism 1: a ConfigProto, serialised.
        config = b"\x10\x01\x28\x01"
        tf.TF_SetConfig(options, config, ctypes.c_size_t(len(config)), self.status)
        listed = (ctypes.c_char_p * len(tags))(*[tag.encode() for tag in tags])
        session = tf.TF_LoadSessionFromSavedModel(
            options, None, path.encode(), listed, len(tags), self.graph, None, self.status
        )
        self.check()
        self.session = ctypes.c_void_p(session)

    def check(self):
        if self.tf.TF_GetCode(self.status):
            raise RuntimeError(self.tf.TF_Message(self.status).decode())

    def close(self):
        status = ctypes.c_void_p(self.tf.TF_NewStatus())
        self.tf.TF_CloseSession(self.session, status)
        self.tf.TF_DeleteSession(self.session, status)
        self.tf.TF_DeleteGraph(self.graph)
        self.tf.TF_DeleteStatus(status)

    def output(self, name):
        operation, _, index = name.partition(":")
        found = self.tf.TF_GraphOperationByName(self.graph, operation.encode())
        if not found:
            raise RuntimeError("no operation " + operation)
        return Output(found, int(index or 0))

    def run(self, feeds, fetches):
        count, wanted = len(feeds), len(fetches)
        inputs = (Output * count)(*[self.output(name) for name in feeds])
        values = (ctypes.c_void_p * count)(*[self.tensor(*value) for value in feeds.values()])
        outputs = (Output * wanted)(*[self.output(name) for name in fetches])
        results = (ctypes.c_void_p * wanted)()
        self.tf.TF_SessionRun(
            self.session, None, inputs, values, count, outputs, results, wanted, None, 0, None, self.status
        )
        self.check()
        return [self.value(ctypes.c_void_p(result)) for result in results]

    def tensor(self, dtype, shape, values):
        dims = (ctypes.c_int64 * len(shape))(*shape)
        if dtype == "string":
            data = [value.encode("latin-1") for value in values]
            tensor = self.tf.TF_AllocateTensor(TYPES[dtype], dims, len(shape), ctypes.c_size_t(STRING_SIZE * len(data)))
            start = self.tf.TF_TensorData(ctypes.c_void_p(tensor))
            for position, value in enumerate(data):
                element = ctypes.c_void_p(start + STRING_SIZE * position)
                self.tf.TF_StringInit(element)
                self.tf.TF_StringCopy(element, value, ctypes.c_size_t(len(value)))
            return tensor
        data = np.array(values, dtype).reshape(shape).tobytes()
        tensor = self.tf.TF_AllocateTensor(TYPES[dtype], dims, len(shape), ctypes.c_size_t(len(data)))
        ctypes.memmove(self.tf.TF_TensorData(ctypes.c_void_p(tensor)), data, len(data))
        return tensor

    def value(self, tensor):
        dtype = NAMES[self.tf.TF_TensorType(tensor)]
        shape = [self.tf.TF_Dim(tensor, axis) for axis in range(self.tf.TF_NumDims(tensor))]
        start, size = self.tf.TF_TensorData(tensor), self.tf.TF_TensorByteSize(tensor)
        if dtype == "string":
            values = []
            for position in range(int(np.prod(shape))):
                element = ctypes.c_void_p(start + STRING_SIZE * position)
                pointer, length = self.tf.TF_StringGetDataPointer(element), self.tf.TF_StringGetSize(element)
                values.append(ctypes.string_at(pointer, length).decode("latin-1"))
            return [dtype, shape, values]
        array = np.frombuffer(ctypes.string_at(start, size) if size else b"", dtype)
        return [dtype, shape, array.tolist()]


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    tf = library(sys.argv[1])
    for line in sys.stdin:
        asked = json.loads(line)
        request = asked["arguments"]
        try:
            model = Model(tf, request["path"], request["tags"])
            try:
                is_run = asked["verb"] == "run"
                answer = {"result": model.run(request["feeds"], request["fetches"]) if is_run else None}
            finally:
                model.close()
        except RuntimeError as error:
            answer = {"error": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
