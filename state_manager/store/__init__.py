"""PostgreSQL, the only source of truth: the tables, the transitions as SQL functions, and the queries."""
