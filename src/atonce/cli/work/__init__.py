"""One run of a verb, whatever the verb: driving its stream, stopping, counting, ending."""
