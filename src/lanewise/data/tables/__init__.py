"""Tables: files and DataFrames, read, encoded and applied to new rows."""
