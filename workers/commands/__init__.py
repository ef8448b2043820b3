"""Programs that satellites run: each under a supervisor, which outlives its worker and leaves nothing behind."""
