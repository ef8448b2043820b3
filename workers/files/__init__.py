"""Files in object stores and in local folders: their URIs, access to them, and errors that show no secret."""
