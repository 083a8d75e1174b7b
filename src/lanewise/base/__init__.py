"""What every layer stands on: files written whole or not at all, and plain data checked as it is read back."""
