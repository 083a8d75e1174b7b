"""What people see: terminal, page and figures."""
