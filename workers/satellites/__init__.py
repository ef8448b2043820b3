"""The built-in satellites, a file each."""
