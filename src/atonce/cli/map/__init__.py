"""`atonce map`: a Python function over lines or rows."""
