"""Imports TensorFlow once, and runs each program it is asked for in a fork: seconds of import become milliseconds.

    python fork_server.py        a line of JSON asks, a line answers
        {"target": script or module, "arguments": [...], "environment": {...}, "paths": [...], "cwd": ..., "stdin": path,
         "stdout": path, "stderr": path}    the program runs as __main__, on these files
        {"status": number}       its exit status; negative: the signal that ended it

Nothing but the import happens in this process: a TensorFlow that has run anything has threads, which a fork would lose.
Runs under Python 3.7 too. `tests/plugins/tensorflow_programs.py` is the other end.
"""

import gc
import json
import os
import runpy
import sys
import traceback


def run(request):
    """The fork: becomes the program, and never returns."""
    status = 1
    try:
        for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
            with open(request[name], mode) as file:
                os.dup2(file.fileno(), number)
        sys.stdin = os.fdopen(0, closefd=False)
        os.environ.update(request["environment"])
        os.chdir(request["cwd"])
        sys.path[:0] = request["paths"]
        target = request["target"]
        sys.argv = [target, *request["arguments"]]
        gc.enable()
        try:
            if target.endswith(".py"):
                sys.path.insert(0, os.path.dirname(target))
                runpy.run_path(target, run_name="__main__")
            else:
                runpy.run_module(target, run_name="__main__", alter_sys=True)
            status = 0
        except SystemExit as ended:
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
            else:
                status = int(ended.code or 0)
        except BaseException:  # noqa: BLE001 - as the interpreter does
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def main():
    import tensorflow as tf

    tf.compat.v1.train.Saver  # noqa: B018 - its module is loaded when it is first named
    # What is there now stays: neither this process nor a fork looks through it again.
    gc.collect()
    gc.freeze()
    gc.disable()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        child = os.fork()
        if child == 0:
            answers.close()
            run(json.loads(line))
        _, ended = os.waitpid(child, 0)
        status = -os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else os.WEXITSTATUS(ended)
        answers.write(json.dumps({"status": status}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
