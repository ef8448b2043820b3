"""`exosphere`, the command-line interface of the client: `arguments` parses, `main` runs the command."""
