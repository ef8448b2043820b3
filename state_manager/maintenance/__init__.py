"""The reconciler, its steps (each file with a `run_once`), and the services that they share."""
