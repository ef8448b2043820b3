"""The REST API, one file a resource: its route, the schema of its response, and how a row becomes one."""
