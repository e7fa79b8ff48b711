"""LevelDB's sorted string table, as TensorFlow uses it: bytes to bytes, written once in key order, read many times.

    data block 0 | data block 1 | ... | metaindex block | index block | footer

`format` holds what reader and writer share (block handle, footer, the trailer of a block), `block` and `block_builder`
the inside of a block, `table` and `table_builder` the whole file.
"""
