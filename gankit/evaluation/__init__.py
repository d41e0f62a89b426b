"""What samples are worth: metrics, the judge that applies them, their protocols."""
