"""Pure decisions, driven by Hypothesis at full speed."""
