"""Floor 4: the places where work runs, behind one contract."""
