"""What is wrong today, and what is printed in its place; a line goes when its cells are right.

A key is a regular expression for the whole id of cells (``source-route-fault``) or rules. Every cell that one fits must fail.
"""

from __future__ import annotations

import re

# Groups of sources: V2 checkpoints of numbers by names, and those with an object graph too; all of V2; some by their form.
_NAMES = "(v2|v2-sliced|v2-shards|v2-big-endian|v2-snappy|v2-sliced-snappy|saved-model|renamed|selected|cast|averaged|merged|split|resharded|stripped)"
_NUMBERS = f"({_NAMES}|objects|tree)"
_V2 = f"({_NUMBERS}|v2-strings)"
_WHOLE = "(v2|v2-shards|v2-big-endian|v2-snappy|saved-model)"
_MAPPED = "(v2|v2-shards|v2-snappy|saved-model|objects|tree)"
_SLICED = "(v2-sliced|v2-sliced-snappy)"

_ACCUSED = "ChecksumError: the new data file is compared with the old index, and the disk is accused"
_CARRIED = "the result is written, and reading it raises: the slices do not cover the tensor"
_OVERLAPPING = "the result is written, and reading it raises: two stored slices overlap"
_AMPLIFIED = "the result is written: 200 entries of the same 4 KiB become 800 KiB"
_BORROWED = "values of other tensors: arrays are borrowed and read again after the mapping has made the next one"
_DESCRIPTORS = "not ok: [Errno 24] Too many open files"

KNOWN_FAULTS: dict[str, str] = {
    # A mapping that makes its arrays in one buffer.
    "on-demand-rename-none": _BORROWED,
    "on-demand-select-none": _BORROWED,
    "on-demand-cast-(none|lossy-cast)": _BORROWED,
    "on-demand-average-none": _BORROWED,
    "on-demand-merge-none": _BORROWED,
    "on-demand-split-none": _BORROWED,
    "on-demand-reshard-none": _BORROWED,
    "on-demand-strip-none": _BORROWED,
    "on-demand-diff-none": _BORROWED,
    "on-demand-convert-npz-(none|lossy-cast)": _BORROWED,
    "on-demand-convert-safetensors-(none|lossy-cast)": _BORROWED,
    "on-demand-convert-v2-none": _BORROWED,
    "on-demand-save-none": "save_checkpoint writes a checkpoint whose bytes do not match its own checksums",
    # A checkpoint replaced under an open reader.
    f"{_V2}-rename-replaced": _ACCUSED,
    f"{_V2}-select-replaced": _ACCUSED,
    f"{_V2}-cast-replaced": _ACCUSED,
    f"{_V2}-average-replaced": _ACCUSED,
    f"{_V2}-merge-replaced": _ACCUSED,
    f"{_V2}-split-replaced": _ACCUSED,
    f"{_V2}-reshard-replaced": _ACCUSED,
    f"{_V2}-strip-replaced": _ACCUSED,
    f"{_V2}-save-replaced": _ACCUSED,
    f"{_V2}-convert-npz-replaced": _ACCUSED,
    f"{_V2}-convert-safetensors-replaced": _ACCUSED,
    f"{_V2}-convert-v2-replaced": _ACCUSED,
    f"{_V2}-diff-replaced": _ACCUSED,
    # A slice that is missing.
    f"(v1-sliced|{_SLICED})-verify-hole": "ok",
    f"(v1-sliced|{_SLICED})-doctor-hole": "ok",
    f"(v1-sliced|{_SLICED})-latest-hole": "the checkpoint with the hole, which restore_latest passes over",
    f"{_SLICED}-verify-tensors-hole": "no error",
    f"(v1-sliced|{_SLICED})-rename-hole": _CARRIED,
    f"(v1-sliced|{_SLICED})-select-hole": _CARRIED,
    f"(v1-sliced|{_SLICED})-cast-hole": _CARRIED,
    f"(v1-sliced|{_SLICED})-average-hole": _CARRIED,
    f"(v1-sliced|{_SLICED})-merge-hole": _CARRIED,
    f"(v1-sliced|{_SLICED})-split-hole": _CARRIED,
    f"(v1-sliced|{_SLICED})-reshard-hole": _CARRIED,
    f"(v1-sliced|{_SLICED})-strip-hole": _CARRIED,
    f"(v1-sliced|{_SLICED})-convert-v2-hole": _CARRIED,
    f"{_SLICED}-merge-bundles-hole": _CARRIED,
    # Slices that overlap.
    f"{_SLICED}-rename-overlap": _OVERLAPPING,
    f"{_SLICED}-select-overlap": _OVERLAPPING,
    f"{_SLICED}-cast-overlap": _OVERLAPPING,
    f"{_SLICED}-average-overlap": _OVERLAPPING,
    f"{_SLICED}-merge-overlap": _OVERLAPPING,
    f"{_SLICED}-split-overlap": _OVERLAPPING,
    f"{_SLICED}-reshard-overlap": _OVERLAPPING,
    f"{_SLICED}-strip-overlap": _OVERLAPPING,
    f"{_SLICED}-convert-v2-overlap": _OVERLAPPING,
    f"{_SLICED}-merge-bundles-overlap": _OVERLAPPING,
    # Entries that share their bytes.
    f"{_NUMBERS}-rename-shared-bytes": _AMPLIFIED,
    f"{_NAMES}-select-shared-bytes": _AMPLIFIED,
    f"{_NAMES}-cast-shared-bytes": _AMPLIFIED,
    f"{_NAMES}-average-shared-bytes": _AMPLIFIED,
    f"{_NUMBERS}-merge-shared-bytes": _AMPLIFIED,
    f"{_NAMES}-split-shared-bytes": _AMPLIFIED,
    f"{_NAMES}-reshard-shared-bytes": _AMPLIFIED,
    f"{_NAMES}-strip-shared-bytes": _AMPLIFIED,
    f"{_NAMES}-convert-v2-shared-bytes": _AMPLIFIED,
    f"{_WHOLE}-convert-npz-shared-bytes": _AMPLIFIED,
    f"{_WHOLE}-convert-safetensors-shared-bytes": _AMPLIFIED,
    f"{_WHOLE}-save-shared-bytes": _AMPLIFIED,
    # What the system refuses.
    f"{_V2}-verify-descriptors": _DESCRIPTORS,
    f"{_V2}-doctor-descriptors": _DESCRIPTORS,
    f"({_V2}|v1-files)-latest-descriptors": "None, or the older checkpoint; the log: [Errno 24] Too many open files",
    f"{_V2}-verify-io-error": "not ok: [Errno 5] Input/output error",
    f"{_V2}-doctor-io-error": "the checkpoint is damaged: [Errno 5] Input/output error",
    f"{_V2}-verify-directory": "not ok: [Errno 21] Is a directory",
    # A data file that was cut under an open reader.
    f"{_MAPPED}-map-(cut-by-one|cut-in-half|cut-to-nothing)": "ValueError: mmap length is greater than file size",
    # Rules.
    "regions-of-one-tensor-cost-its-bytes-once": "64 regions cost 64.0 times the tensor's bytes",
    "regions-of-a-partitioned-tensor-cost-its-bytes-once": "64 regions cost 16.0 times the tensor's bytes",
    "four-hundred-shards-need-few-descriptors": "OSError: [Errno 24] Too many open files",
    "reader-closed-while-another-thread-reads-never-gives-another-file": "ChecksumError, of the bytes of another file",
    "closed-reader-says-so": "a closed reader of a V1 checkpoint reads",
    "reader-pickles": "PicklingError: functools._lru_cache_wrapper",
    "readers-compare": "ValueError: The truth value of an array with more than one element is ambiguous",
    "readers-hash": "TypeError: unhashable type: 'CheckpointReader'",
}


def known_fault(identifier: str) -> str | None:
    """What is wrong with a cell or a rule; None when nothing is known of it."""
    return next((why for pattern, why in KNOWN_FAULTS.items() if re.fullmatch(pattern, identifier)), None)
