"""Answers requests about SavedModels, one JSON object per line, from inside an interpreter that has a TensorFlow.

    request   {"verb": "run_v2", "arguments": {"path": "/tmp/x/export", ...}}
    answer    {"result": ...}  or  {"error": "NotFoundError: ..."}

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
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        answer = {"error": f"{type(error).__name__}: {str(error).split('Original stack trace', 1)[0][:2000]}"}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
