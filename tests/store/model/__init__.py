"""A model check of the store: random transitions over random graphs, at once from several sessions."""
