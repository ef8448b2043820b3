"""E-mail of satellites: the message, and its delivery to an SMTP server."""
