"""One attempt of a satellite: its run, its interruption, its log lines and what it uses."""
