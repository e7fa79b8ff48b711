"""Prints `N passed, N failed` over pytest's JUnit reports.

The first argument is the number of legs that failed. A leg that failed without a failed test to show for it (lint, an
installation) counts as one failure, so that the last line never says 0 when the exit code does not.
"""

import pathlib
import sys
import xml.etree.ElementTree

passed = failed = 0
for path in map(pathlib.Path, sys.argv[2:]):
    if not path.is_file():  # no leg of this run wrote a report
        continue
    for suite in xml.etree.ElementTree.parse(path).iter("testsuite"):
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        failed += bad
        passed += int(suite.get("tests", 0)) - bad - int(suite.get("skipped", 0))
print(f"{passed} passed, {max(failed, int(sys.argv[1]))} failed")
