"""Pictures: pure functions from records to what Plotly or the stage draws. Nothing here computes a run."""
