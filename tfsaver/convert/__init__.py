"""The neighbours' formats: each file stands alone and goes through the neighbour's own library, an extra of the package.

Nothing here knows TensorFlow, and nothing in `compat` knows this; both stand on what `checkpoint` gives.
"""
