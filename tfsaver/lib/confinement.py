"""Which names in files are followed: the one policy behind every `trusted=`.

    ../weights    /etc/passwd    C:\\x    gs://bucket/x        lead out by what they say
    run/latest -> /home/other                                  by what is there

A file from a stranger may hold any of the first, a directory from a stranger the second as well: archives carry symbolic
links. What takes a path from a file, or reads a directory that the caller named, asks a `Confinement` first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from tfsaver.errors import UntrustedPathError
from tfsaver.lib import file_io


@dataclass(frozen=True)
class Confinement:
    """Where the names in files may lead: into one directory, or anywhere if the caller trusts the files.

    Attributes:
        directory: What the caller named; empty for the working directory.
        trusted: Whether names may lead anywhere.
    """

    directory: str
    trusted: bool = False

    @classmethod
    def around(cls, path: str, trusted: bool = False) -> Confinement:
        """The directory that a file is in."""
        return cls(file_io.split(path.rstrip("/"))[0], trusted)

    def admits_name(self, name: str) -> bool:
        """Whether a name in a file may be followed by what it says; nothing is looked for, here or on another machine."""
        return self.trusted or not leads_out(name)

    def admits(self, path: str) -> bool:
        """Whether a path may be followed, once all symbolic links in it are.

        Args:
            path: Need not exist.
        """
        return self.trusted or _is_inside(self.directory, path)

    def check(self, *paths: str, source: str = "", remedy: str = "") -> None:
        """Refuses paths that may not be followed.

        Args:
            *paths: The paths; they need not exist.
            source: The file that names them, and as what; empty for links.
            remedy: What the caller can do.

        Raises:
            UntrustedPathError: There are some; names all of them.
        """
        refused = [path for path in dict.fromkeys(paths) if not self.admits(path)]
        if refused:
            raise UntrustedPathError(self.directory, refused, source=source, remedy=remedy)


# For what a program made itself.
ANYWHERE = Confinement("", trusted=True)


def leads_out(path: str) -> bool:
    """Whether a path, joined to a directory, may be one outside of it, on any system; symbolic links left aside."""
    parts = path.replace("\\", "/").split("/")
    return not path or "\0" in path or "://" in path or parts[0] == "" or ".." in parts or parts[0][1:2] == ":"


def _is_inside(directory: str, path: str) -> bool:
    """Whether a path is in a directory once all symbolic links are followed; in a remote place there are none."""
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
