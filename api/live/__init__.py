"""WebSockets: what has just happened, to whoever watches, without a gap."""
