"""PostgreSQL: the tables, the transitions as SQL functions, and the queries. The only truth there is."""
