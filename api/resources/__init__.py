"""The resources of the REST API, a file each: routes, response schemas, and the conversion of rows to responses."""
