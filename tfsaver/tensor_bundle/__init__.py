"""A V2 checkpoint: one index, many data shards.

    PREFIX.index                   a table: "" -> BundleHeaderProto, then name -> BundleEntryProto
    PREFIX.data-00000-of-00002     the bytes of tensors, one behind the other

An entry says in which shard a tensor lies, where, how many bytes, and their checksum. `naming` knows file names,
`header` and `entry` what the index holds, `strings` and `variants` how values without a fixed size are spelled;
`reader` and `writer` are the two directions, `merge` makes one bundle of several.
"""
