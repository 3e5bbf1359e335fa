"""One-file HTML reports with hand-drawn SVG plots: no script, no network, light and dark."""
