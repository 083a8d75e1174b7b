"""Files and built-in data sets that hold arrays or pictures."""
