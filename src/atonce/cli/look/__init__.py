"""The verbs that look: report, trace, doctor, completion."""
