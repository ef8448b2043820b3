"""The REST API and the WebSockets, on Flask."""
