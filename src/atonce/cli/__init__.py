"""The program `atonce`: the library's verbs for a shell, rows in, records out (extra `cli`)."""
