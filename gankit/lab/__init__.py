"""The lab: many runs as one experiment. It stands on the roof: it uses all of gankit, and nothing of gankit uses it."""
