"""Prints setup.cfg's lower bounds as pip constraints: `numpy>=1.23.5` becomes `numpy==1.23.5`.

Whatever setup.cfg promises to work with is what one leg of the tests installs, so a promise cannot go stale. The bounds
are those of the hard dependencies, and of the extras named on the command line; with `--extras-only` of these alone.
"""

import configparser
import sys

config = configparser.ConfigParser()
config.read("setup.cfg")
bounds = [] if "--extras-only" in sys.argv else config["options"]["install_requires"].split("\n")
for extra in (argument for argument in sys.argv[1:] if not argument.startswith("-")):
    bounds += config["options.extras_require"][extra].split("\n")
for bound in bounds:
    if bound and not bound.startswith("#"):
        print(bound.replace(">=", "=="))
