"""What a run was, seen afterwards: from a journal or from what a recorder saw, as text, page, or trace."""
