"""Old names and new: mappings, the ready tables of what libraries renamed, and guesses at what is meant."""
