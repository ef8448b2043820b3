"""WebSockets: the events of an execution as they happen, to all who watch it, without a gap."""
