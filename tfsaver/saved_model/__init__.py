"""A SavedModel: graphs, signatures, variables and assets in one directory.

    saved_model.pb                       the MetaGraphs, one per set of tags; or saved_model.pbtxt, or saved_model.cpb
    variables/variables.index            a V2 checkpoint, which all of them share
    variables/variables.data-00000-of-00001
    assets/vocabulary.txt                files that the graphs read when they are initialised
    assets.extra/                        files that only a server reads
    fingerprint.pb                       hashes of the above, in models of newer releases

Without TensorFlow, `loader` reads one, `exporter` makes one, `editing` changes one, `merging` makes one of several and
`freezing` a graph without variables.

Reading: `saved_model_file` (the first of the files above, with `riegeli` and `chunked_proto` for its third form),
`variables`, `object_graph` (the objects that TF2 has written with it), `assets`, `signature_def`, `directory_files`,
`fingerprint` over `farm_hash` and `deterministic`; `constants` are the names that programs agree on.

Exporting: `sources` (what a caller has, as a graph and values), `export_plan` (what is exported of it: `tensor_requests` and
`graph_tensors` for signatures, `feeding` for inputs, `initialization` for the init op, `exported_variables`,
`restored_tables` and `exported_assets` for what comes along, `changed_variables` where some are replaced or left out),
`builder` (the directory, in one atomic step). Who has something else to export, such as a session, makes a
`sources.ExportSource` of it.
"""
