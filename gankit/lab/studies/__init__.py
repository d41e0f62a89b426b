"""Published studies as recipes: run, measured, judged claim by claim, and shown on a page."""
