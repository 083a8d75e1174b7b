"""What every layer uses: files written whole or not at all, and plain data checked as it is read back."""
