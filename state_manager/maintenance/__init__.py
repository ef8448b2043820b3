"""The reconciler and its steps, a file each: idempotent, in bounded batches, safe to run twice at once."""
