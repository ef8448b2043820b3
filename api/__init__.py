"""What knows Flask: the REST API, from bytes to a submitted cluster and from rows to JSON."""
