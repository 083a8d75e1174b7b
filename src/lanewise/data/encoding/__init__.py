"""Values of a table as numbers, and the schema that does the same with new rows."""
