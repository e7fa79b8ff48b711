"""Whether a name, or a path, stays in a directory.

    ../weights    /etc/passwd    C:\\x    gs://bucket/x        lead out by what they say
    run/latest -> /home/other                                  by what is there

A file from a stranger may hold any of the first, a directory from a stranger the second as well: archives carry symbolic
links.
"""

from __future__ import annotations

import os

from tfsaver.lib import file_io


def leads_out(path: str) -> bool:
    """Whether a path, joined to a directory, may be one outside of it, on any system; symbolic links left aside."""
    parts = path.replace("\\", "/").split("/")
    return not path or "\0" in path or "://" in path or parts[0] == "" or ".." in parts or parts[0][1:2] == ":"


def is_inside(directory: str, path: str) -> bool:
    """Whether a path is in a directory once all symbolic links are followed; in a remote place there are none.

    Args:
        directory: Empty for the working directory.
        path: Need not exist.
    """
    if file_io.is_remote(directory) or file_io.is_remote(path):
        root = directory.rstrip("/") + "/"
        return path.startswith(root) and not leads_out(path[len(root) :])
    if "\0" in path:
        return False
    root = os.path.realpath(directory or os.curdir)
    try:
        return os.path.commonpath([root, os.path.realpath(path)]) == root
    except ValueError:
        # Two drives.
        return False
