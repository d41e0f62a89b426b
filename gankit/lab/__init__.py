"""From runs to conclusions: sweeps, comparisons, and studies that test published claims."""
