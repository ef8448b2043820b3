"""The peers, a file each: run in an environment of their own, they import nothing of this project's server."""
