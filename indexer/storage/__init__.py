"""Everything on disk: the DuckDB catalog and its schema, embedding shards, file layout, and readers of tables."""
