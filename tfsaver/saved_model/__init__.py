"""A SavedModel: graphs, signatures, variables and assets in one directory.

    saved_model.pb                       the MetaGraphs, one per set of tags; or saved_model.pbtxt, or saved_model.cpb
    variables/variables.index            a V2 checkpoint, which all of them share
    variables/variables.data-00000-of-00001
    assets/vocabulary.txt                files that the graphs read when they are initialised
    assets.extra/                        files that only a server reads
    fingerprint.pb                       hashes of the above, in models of newer releases

`loader` reads one, `exporter` makes one, `editing` changes one, each without TensorFlow; `builder` is how a directory gets
written. Below them: `constants` (the names), `saved_model_file` (the first of the files above, with `riegeli` and
`chunked_proto` for its third form), `signature_def`, `assets`, `fingerprint` over `farm_hash` and `deterministic`.
"""
