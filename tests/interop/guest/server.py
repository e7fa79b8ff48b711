"""Answers requests about checkpoints, one JSON object per line, from inside the interpreter that has a TensorFlow.

    request   {"verb": "read", "arguments": {"prefix": "/tmp/x/model"}}
    answer    {"result": ...}  or  {"error": "NotFoundError: ..."}

One process serves many checkpoints, because to start TensorFlow takes seconds. The answers have standard output to
themselves: whatever TensorFlow and its libraries print goes to standard error.

Runs under Python 3.7 too.
"""

import json
import os
import sys

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import verbs  # noqa: E402  (after standard output has been put aside)

for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"result": getattr(verbs, request["verb"])(**request["arguments"])}
    except Exception as error:
        # What follows the first paragraph is where in a graph it happened.
        answer = {"error": "%s: %s" % (type(error).__name__, str(error).split("Original stack trace", 1)[0][:2000])}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
