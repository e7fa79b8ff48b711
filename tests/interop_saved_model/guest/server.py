"""Answers requests, one JSON object per line, from inside an interpreter that has what tfsaver's tests have not.

    python server.py MODULE

    request   {"verb": "run_v2", "arguments": {"path": "/tmp/x/export"}}
    answer    {"result": ...}  or  {"error": "NotFoundError: ..."}

A verb is a function of the module, which lies beside this file. The answers have standard output to themselves: whatever
TensorFlow and its libraries print goes to standard error. Runs under Python 3.7 too.
"""

import importlib
import json
import os
import sys

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

verbs = importlib.import_module(sys.argv[1])

for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"result": getattr(verbs, request["verb"])(**request["arguments"])}
    except Exception as error:
        # What follows the first paragraph is where in a graph it happened.
        answer = {"error": f"{type(error).__name__}: {str(error).split('Original stack trace', 1)[0][:2000]}"}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
