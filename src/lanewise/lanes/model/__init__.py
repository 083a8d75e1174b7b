"""The user's model in a form that lanes can train."""
