"""The satellites that handle files, against real servers of their protocols and real files."""
