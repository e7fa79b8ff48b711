"""Bytes and files: no tensors, no protocol buffers, no numpy.

`coding` and `ordered_code` are the two ways a number is spelled in a table; `crc32c` and `snappy` guard and shrink
blocks; `file_io` is the one place that touches a disk, local or remote.
"""
